"""Comparisons with what people would otherwise run: one script a part, see `experiments.bench.harness`."""
