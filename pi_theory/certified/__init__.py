"""Certified values: everything here is computed in ball arithmetic or carries a proved error bound.

This folder is the only place that imports python-flint. `balls` holds the primitives, `interpolation` the bounds of
Theorem 2.1, `envelope` the search for minima and crossings of B(s), `least_squares` the exact fit of Fig. 2, and
`linear_program` the check of the worst-case heads.
"""
