"""Measure how well a checkpoint does: perplexity by window, passkey retrieval, zero-shot benchmarks, summaries."""
