"""Floor 4: the entrances: HTTP, command line, and the supervisor of the readers."""
