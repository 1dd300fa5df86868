"""The registry: what is said of versions and found by it, what happens to them, and which version an alias may name."""
