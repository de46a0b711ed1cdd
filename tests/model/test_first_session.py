"""What a newcomer does first: import the package, and try the lines that the README shows."""

import subprocess
import sys

import pytest

import pi_model

LINES = """
import pi_model, pi_theory
print(pi_theory.sharp_bound(0.5, 0, 1, head_dim=128, base=10_000))   # largest interpolation error per unit |h|
pi_model.extend_checkpoint("tiny-llama", pi_theory.LinearPI(2.0), "tiny-512")
checkpoint = pi_model.load_checkpoint("tiny-512")
books = pi_model.load_documents(pi_model.Source("books"), checkpoint.tokenizer, pi_model.Selection(max_tokens=2048, samples=2))
for result in pi_model.sliding_perplexity(checkpoint.model, books.tokens, windows=[256, 512], stride=128, bos_id=checkpoint.bos_id):
    print(result.window, round(result.perplexity, 2))
"""  # noqa: E501  as the README has it


@pytest.mark.shared_cache
def test_the_first_lines_of_python_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(LINES, {})
    bound, *windows = capsys.readouterr().out.splitlines()
    assert float(bound) == pytest.approx(0.49388, abs=1e-5)
    perplexity = {int(window): float(number) for window, number in map(str.split, windows)}
    assert perplexity.keys() == {256, 512}
    assert all(20 < number < 100 for number in perplexity.values())


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
