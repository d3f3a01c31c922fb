# make demo    the page on http://127.0.0.1:7860, on the embedded model
# make test    all tests
# make check   ruff, mypy, all tests
# make bench   the comparison with the reference values, then the benchmarks, one after another
# make nano    the embedded model from nothing (recipes/nano/README.md); it takes hours, and goes on where it was stopped
# make clean   removes the environment and the caches
#
# Each sets up what it needs in .venv, once: the second run starts at once. PYTHON=... and VENV=... choose others.

VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN = $(VENV)/bin
# A stamp for each set of requirements, so that a changed list is installed again and an unchanged one is not.
USER_STAMP = $(VENV)/.user-$(shell cksum < requirements.txt | tr ' ' -)
DEV_STAMP = $(VENV)/.dev-$(shell cat requirements.txt pyproject.toml | cksum | tr ' ' -)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
BENCHMARKS = $(filter-out __init__ parity%,$(basename $(notdir $(wildcard benchmarks/*.py))))

.PHONY: demo test check lint bench nano clean
.DEFAULT_GOAL := demo

demo: $(USER_STAMP)
	$(BIN)/python gradio_app.py $(ARGS)

test: $(DEV_STAMP)
	$(BIN)/python -m pytest -q $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

bench: $(DEV_STAMP)
	@echo "== parity"; $(BIN)/python -m benchmarks.parity tests/golden
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

nano: $(DEV_STAMP)
	$(BIN)/python -m recipes.nano.all $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; name another: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment $(VENV) with $(PYTHON)"
	$(PYTHON) -m venv $(VENV)

$(USER_STAMP): $(BIN)/python
	@echo "Installing requirements.txt (once; a few minutes, some 5 GB)"
	$(PIP) -r requirements.txt
	@touch $@

# tinysoundfont asks for an audio device's headers, which nothing here uses: hence --no-deps.
$(DEV_STAMP): $(USER_STAMP)
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps "tinysoundfont>=0.3.7,<0.4"
	@touch $@
