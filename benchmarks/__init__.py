"""How fast Tiltyard is, as ratios to a peer in one run, and whether it stays so under long and violent load."""
