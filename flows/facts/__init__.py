"""From events to facts to reports: what `record` does, and what is read of it."""
