"""Batch tests: what a version's answers to a labelled data set say of it. Pure statistics on arrays."""
