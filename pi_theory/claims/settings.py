"""What claims share: the sources that they are from, and the settings that they speak of."""

import sympy as sp
from sympy import Eq, Rational, sec

from pi_theory.statements import c, d, published

PAPER = "arXiv:2306.15595v2"
HERE = "this package"
LLAMA = "d = 128, c = 10^4"
AT_LLAMA = (Eq(d, 128), Eq(c, 10_000))
SECANT = sec(Rational(1, 2))
AT_MIDPOINT = published(Rational(1, 2), sp.Integer(0), sp.Integer(1))
