# The public verbs. Each puts into .venv what it needs, when that is missing or older than the files that define it.
PYTHON ?= python3
PYTEST_ARGS ?=
VERIFY_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
CORE := .venv/installed-core
DEV := .venv/installed-dev
NOTEBOOKS := .venv/installed-notebooks
export MPLBACKEND := Agg

.PHONY: help figures experiments verify-results notebooks test test-fast lint bench clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

# .venv/installed-NAME: the package with its extra NAME; "core" has none, and "dev" has them all
.venv/installed-%: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '$(if $(filter core,$*),.,.[$*])'
	@touch $@ $(if $(filter dev,$*),$(CORE) $(NOTEBOOKS),)

figures: $(CORE) ## run what has changed, then draw every figure and table and figures/index.html
	@$(BIN)/python -m experiments --figures

experiments: $(DEV) ## redo every study, recorded ones too: hours; PROFILE=gpu takes the large settings
	@$(BIN)/python -m experiments --all --force --figures $(if $(PROFILE),--profile $(PROFILE))

verify-results: $(CORE) ## hold every record against its hashes and run the cheap studies again
	@$(BIN)/python -m experiments.verify $(VERIFY_ARGS)

notebooks: $(NOTEBOOKS) ## run every notebook and export it to build/notebooks; work in one: .venv/bin/jupyter lab
	rm -rf build/notebooks && mkdir -p build/notebooks
	cp experiments/notebooks/*.ipynb build/notebooks
	$(BIN)/python -m nbconvert --execute --to html --config experiments/notebooks/nbconvert_config.py build/notebooks/*.ipynb

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## ruff, mypy and the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-fast: $(DEV) ## what to run after each edit: the tests that are not marked slow
	$(BIN)/python -m pytest -m 'not slow' $(PYTEST_ARGS)

bench: $(DEV) ## ours beside what people would otherwise run; BENCH_ARGS=--keep puts it into docs/speed.md
	@$(BIN)/python -m experiments.bench $(BENCH_ARGS)
	@$(BIN)/python -m figures.docs_pages

clean: ## remove what a run can make again; .venv and records stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: paper docs
paper: $(CORE) ## build paper/main.pdf from the records (needs latexmk)
	@$(BIN)/python -m paper --check
	@$(MAKE) --no-print-directory figures
	$(BIN)/python -m paper

docs: $(DEV) ## build/docs: the API reference, from the docstrings
	$(BIN)/python -m pdoc -d google -o build/docs pi_theory pi_model
