"""What runs studies, on the cores there are or on a GPU, and what checks their records."""
