"""What can be told of a shadow, whose answers nobody sees: agreement, latency, and once labels have come which model was better."""
