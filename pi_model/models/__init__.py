"""Read checkpoints, extend their context window, and write them."""
