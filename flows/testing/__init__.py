"""Batch tests: a version's answers to a labelled data set, away from traffic, and what they are worth."""
