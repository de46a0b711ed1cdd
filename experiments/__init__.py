"""What was measured: one script a study, and each study writes one record."""

# in the order in which `make figures` runs them
STUDIES = (
    "positions",
    "landscape",
    "envelope",
    "amplification",
    "least_squares",
    "claims",
    "tiny_heads",
    "tiny_tables",
    "tiny_methods",
    "tiny_jump",
    "tiny_reach",
    "tiny_bends",
    "tiny_displacement",
    "tiny_examined",
    "tiny_choice",
    "tiny_heads_tuned",
    "tiny_recovery",
    "tiny_sweep",
    "tiny_pretrain",
    "smollm2_perplexity",
    "smollm2_passkey",
    "smollm2_context",
    "smollm2_ruler",
    "smollm2_heads",
    "smollm2_jump",
    "smollm2_reach",
    "smollm2_bends",
    "smollm2_displacement",
    "smollm2_choice",
    "smollm2_finetune",
    "smollm2_summaries",
    "plans_simulated",
)
# names that studies had before, which the command line and older records still use
FORMER_NAMES = {"summaries": "smollm2_summaries"}
