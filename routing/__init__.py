"""Floor 2: which arm answers a request, and how a plan follows from another."""
