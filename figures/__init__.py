"""What is drawn: one script a figure, from records to a picture."""

# in the order of the report
FIGURES = (
    "fig1_positions",
    "fig2_least_squares",
    "fig5_envelope",
    "theorem_region",
    "amplification",
    "tiny_windows",
    "tiny_steps",
    "tiny_kmax",
    "smollm2_perplexity",
    "smollm2_passkey",
    "heads_bounds",
    "heads_beyond",
    "heads_jump",
    "heads_moved",
    "smollm2_finetune",
)

# figures and tables whose records take hours or a GPU to make: left out until these are there
AWAITED = ("smollm2_finetune", "finetune_smollm2", "tiny_pretrain")
