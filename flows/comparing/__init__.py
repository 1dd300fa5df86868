"""Comparing two versions: what is known of each, and what is known of both on the same rows or the same traffic."""
