"""What studies of trained attention heads measure."""
