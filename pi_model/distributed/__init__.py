"""The processes of a torchrun: how they share work, windows and results."""
