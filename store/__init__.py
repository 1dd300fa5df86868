"""Floor 2: the tables and blobs that outlive a process."""
