"""What can be trained: extend a LLaMA's context window, and measure it."""
