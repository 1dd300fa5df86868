"""Models that come from elsewhere or go there: MLflow's directories, and folders that need no Tiltyard."""
