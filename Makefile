# The public verbs. Each builds .venv when it is missing or older than the files that define it.
PYTHON ?= python3
PYTEST_ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/installed
export MPLBACKEND := Agg

.PHONY: help figures notebooks test lint bench clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

figures: $(INSTALLED) ## run what has changed, then redraw every figure
	$(BIN)/python -m experiments
	$(BIN)/python -m figures

notebooks: $(INSTALLED) ## run every notebook and export it to build/notebooks; work in one: .venv/bin/jupyter lab
	rm -rf build/notebooks
	$(BIN)/jupyter nbconvert --execute --to html --output-dir build/notebooks experiments/notebooks/*.ipynb

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## ruff, mypy and the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(INSTALLED) ## ours beside what people would otherwise run, as ratios
	$(BIN)/python -m experiments.bench

clean: ## remove what a run can make again; .venv and records stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
