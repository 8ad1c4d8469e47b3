"""What ties plain files, DVC and MLflow together: where files are, locks, records, tracking, repair."""
