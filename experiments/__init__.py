"""What was measured: one script a study, each writes one record."""

# in the order `make figures` runs them
STUDIES = (
    "positions",
    "landscape",
    "envelope",
    "amplification",
    "least_squares",
    "claims",
    "tiny_tables",
    "tiny_methods",
    "tiny_heads",
    "tiny_jump",
    "tiny_heads_tuned",
    "tiny_sweep",
    "tiny_pretrain",
    "smollm2_perplexity",
    "smollm2_passkey",
    "smollm2_heads",
    "smollm2_jump",
    "smollm2_finetune",
    "summaries",
)
