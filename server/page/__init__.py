"""Pages for people: reports as one self-contained file."""
