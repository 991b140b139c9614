"""Complete programs, one folder each: the user's files become results, by what the rooms offer."""
