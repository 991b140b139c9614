"""Coarse fields on cells of the Earth become fine ones whose block means are the coarse values."""
