"""What figures, tables and verdicts call scaling methods."""

METHODS = {
    "none": "none",
    "linear": "linear (PI)",
    "ntk": "NTK-aware",
    "dynamic": "dynamic NTK",
    "yarn": "YaRN",
    "llama3": "Llama-3",
}

# where a model is measured as it is beside ones that were extended and not fine-tuned
NOT_TUNED = METHODS | {"none": "as trained"}
