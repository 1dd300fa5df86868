"""Models that learn while they serve: what River offers behind one face, its state, scores, drift and snapshots."""
