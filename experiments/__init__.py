"""What was measured: one script a study, each writes one record."""
