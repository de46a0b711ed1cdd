"""One script a study: its config, and the function ``run`` from a config to the metrics of a record."""
