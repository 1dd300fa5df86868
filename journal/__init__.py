"""Floor 2: the append-only event log of a node."""
