"""Batch scoring: a version answers a file of rows as it answers them online."""
