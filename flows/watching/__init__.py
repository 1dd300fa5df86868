"""Watching: what was served is counted in windows, and each is compared with the sample of the version that answered."""
