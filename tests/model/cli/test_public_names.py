"""What `import pi_model` gives: its names, quickly, and each of them documented."""

import subprocess
import sys

import pytest

import pi_model


def test_importing_the_package_is_quick_and_loads_no_torch():
    code = (
        "import sys, time; start = time.perf_counter(); import pi_model; print(time.perf_counter() - start); "
        "assert not {'torch', 'transformers', 'numpy'} & sys.modules.keys()"
    )
    run = [sys.executable, "-c", code]
    seconds = [float(subprocess.run(run, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    assert min(seconds) < 0.1


@pytest.mark.parametrize("name", pi_model.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(pi_model, name).__doc__
    assert name in dir(pi_model)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        pi_model.colour  # noqa: B018
