"""Floor 2: the statistics: pure functions on numpy and scipy, from summaries to a verdict."""
