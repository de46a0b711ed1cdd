"""One script a figure: each reads records and draws."""
