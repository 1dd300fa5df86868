"""Feature views: their declaration, aggregates of streams, tables computed offline, and the files that are served."""
