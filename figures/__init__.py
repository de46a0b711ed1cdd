"""What is drawn, from records alone: figures (plots/), tables (tables/) and verdicts on experiments (verdicts/).

A figure is a script in plots/ with a function ``draw``. The first sentence of its docstring says what the figure shows,
the rest how it was made and is read; both are its caption on the page. It may name the claims (``CLAIMS``) and the
experiments (``EXPERIMENTS``) that it illustrates, and have a ``teaser``: one panel, drawn at the top of the page.
"""

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
    "tiny_lag",
    "tiny_context",
    "smollm2_perplexity",
    "smollm2_passkey",
    "heads_bounds",
    "heads_beyond",
    "heads_jump",
    "heads_moved",
    "bends_spared",
    "reach_onsets",
    "displacement_losses",
    "settings_chosen",
    "recovery",
    "smollm2_finetune",
)

# figures and tables whose records take hours or a GPU to make: left out until these are there
AWAITED = (
    "smollm2_finetune",
    "finetune_smollm2",
    "context_smollm2",
    "ruler_smollm2",
    "tiny_pretrain",
)
