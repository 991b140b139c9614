"""Training comparisons: what networks reach on days, years and regions that they never saw."""
