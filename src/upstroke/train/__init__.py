"""A module and its batches become a run folder: the one training harness."""
