"""Train a model by a config: recipes, the training loop, checkpoints and export."""
