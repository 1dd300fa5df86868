"""Counting what was served on the cells of a profile, so that the two can be compared."""
