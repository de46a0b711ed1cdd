"""The paper's tables beside ours, and those that it does not have, made from records."""
