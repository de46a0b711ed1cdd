"""What was measured: one script a study, each writes one record."""

# in the order `make figures` runs them
STUDIES = (
    "positions",
    "landscape",
    "envelope",
    "amplification",
    "least_squares",
    "claims",
    "smollm2_perplexity",
    "smollm2_passkey",
    "tiny_heads",
    "tiny_jump",
    "smollm2_heads",
    "summaries",
)
