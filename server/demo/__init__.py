"""The demonstration: an old and a new model on real data, from registration to promotion, over the same doors that a user has."""
