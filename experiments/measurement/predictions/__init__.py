"""What the theory predicts of scaling methods, and what it is held against."""
