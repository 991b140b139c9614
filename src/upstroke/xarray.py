"""Importing this gives every xarray dataset and array the accessor `upstroke`."""
