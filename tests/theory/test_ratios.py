import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_theory.extrapolation import B
from pi_theory.interpolation import sharp_bound, taylor_bound
from pi_theory.ratios import bound_ratios
from pi_theory.verdicts import Verdict
from tests.theory import strategies as some


@pytest.fixture(scope="module")
def llama():
    return bound_ratios(128, 10_000)


def test_the_papers_six_hundred_is_64_times_the_logarithm_of_the_base(llama):
    """2 d / (d / (32 ln c)) = 64 ln c, whatever the head dimension."""
    assert llama.ratios[0].ratio == pytest.approx(64 * math.log(10_000), rel=1e-12)
    assert llama.ratios[0].ratio == pytest.approx(589.46, abs=0.01)


def test_llamas_ratios_are_the_quotients_of_sums_over_its_frequencies(llama):
    """The frequencies, the bounds and the minimum of B are computed here from their definitions alone."""
    theta = 10_000.0 ** (-np.arange(64) / 64)
    phases = np.exp(1j * np.multiply.outer(np.linspace(3642.5, 3643.5, 2001), theta))
    smallest = 2 * np.abs(np.cumsum(phases, axis=1)).sum(axis=1).min()
    published, taylor, sharp = 128 / (32 * math.log(10_000)), (theta**2).sum() / 8, (1 - np.cos(theta / 2)).sum()
    expected = [256 / published, smallest / published, smallest / taylor, smallest / sharp, 64 / sharp]
    assert [row.ratio for row in llama.ratios] == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx([589.46, 657.15, 571.03, 577.87, 129.59], abs=0.01)


def test_the_published_bound_is_refuted_at_llamas_head_and_holds_at_4096(llama):
    assert llama.published_verdict is Verdict.REFUTED
    assert "is not a bound" in llama.ratios[0].true_when
    wide = bound_ratios(4096, 10_000, upto=1)
    assert wide.published_verdict is Verdict.HOLDS
    assert "is a bound" in wide.ratios[0].true_when


@settings(max_examples=20)
@given(some.head_dims, some.bases, st.integers(1, 50))
def test_each_ratio_divides_what_it_names(head_dim, base, upto):
    found = bound_ratios(head_dim, base, upto)
    kw = {"head_dim": head_dim, "base": base}
    assert found.published_interpolation == pytest.approx(head_dim / (32 * math.log(base)))
    assert found.taylor_interpolation == pytest.approx(taylor_bound(0.5, 0, 1, **kw))
    assert found.sharp_interpolation == pytest.approx(sharp_bound(0.5, 0, 1, **kw))
    smallest = B(np.linspace(0, upto, 4000), **kw).min()
    assert found.min_B_over_d.lower * head_dim <= smallest * (1 + 1e-9)
    ranged = {row.what: row.ratio for row in found.ratios if "B(s)" in row.what}
    for name in ("published", "taylor", "sharp"):
        ratio = next(ratio for what, ratio in ranged.items() if name in what.lower())
        assert ratio <= 2 * smallest / getattr(found, f"{name}_interpolation") * (1 + 1e-9)


@pytest.mark.parametrize(
    ("arguments", "named"), [((7, 10_000), "head_dim"), ((128, 1), "base"), ((128, 10_000, 0), "upto")]
)
def test_arguments_outside_their_domain_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        bound_ratios(*arguments)
