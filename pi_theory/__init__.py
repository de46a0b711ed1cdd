"""Attention scores under rotary position embedding: what can be proved about interpolating and extrapolating them.

`scaling` and `rope` define what is meant. The paper's three arguments follow, each with what is true in its place:
`interpolation` (Theorem 2.1), `extrapolation` (B(s) and Eq. 8) and `leastsquares` (Fig. 2). `amplification` holds the
stability theorem and the worst heads, `envelope` and `intervals` certify, `symbolic` checks the algebra, and `claims`
settles every claim as a `bound.Bound`.
"""
