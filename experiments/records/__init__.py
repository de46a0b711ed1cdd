"""Records of what was measured, what makes one stale, and how one is carried over a rewrite."""
