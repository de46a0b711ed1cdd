"""Examining a checkpoint before it is extended: how far it reads today, how far it could, by which method, at what cost."""
