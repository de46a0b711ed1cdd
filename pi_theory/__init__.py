"""Attention scores under rotary position embedding: what can be proved about interpolating and extrapolating them."""
