"""What Prometheus sees: rows that web workers count into, their compaction, and the scrape."""
