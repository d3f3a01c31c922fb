# make demo    the page on http://127.0.0.1:7860, on the embedded model
# make test    all tests, in two processes; ARGS="tests/llama" runs some of them in one
# make check   ruff, mypy, all tests
# make fuzz    1000 damaged files for all readers; ARGS="--cases 10000 --seed 1"
# make bench   the comparison with the reference values, then the benchmarks, one after another
# make docs    the documentation as a site in build/docs; a dead link is an error
# make nano    the embedded model from nothing (recipes/nano/README.md); it takes hours, and goes on where it was stopped
# make lock    writes requirements*.txt from pyproject.toml and keeps the versions they hold; UPGRADE=--upgrade moves them
# make latest  all tests on the newest versions that pyproject.toml allows, in .venv-latest
# make clean   removes the environments and the caches
#
# Each sets up what it needs in .venv, once: the second run starts at once. PYTHON=... and VENV=... choose others.

VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN = $(VENV)/bin
# A stamp for each lock, so that a changed one is installed again and an unchanged one is not.
USER_STAMP := $(VENV)/.user-$(shell cat requirements-build.txt requirements.txt | cksum | tr ' ' -)
DEV_STAMP := $(VENV)/.dev-$(shell cat requirements-build.txt requirements-dev.txt pyproject.toml | cksum | tr ' ' -)
# The uv on the path, or else this release, which is installed into the environment.
UV_RELEASE = uv==0.13.9
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(BIN)/uv)
HAS_UV = $(shell test -x "$(UV)" && echo yes)
# uv keeps its downloads in the user's cache; where that cannot be written, in the environment, until all is installed.
CACHE := $(shell cache="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/uv}"; mkdir -p "$$cache" 2>/dev/null && test -w "$$cache" && echo yes)
ifneq ($(CACHE),yes)
export UV_CACHE_DIR = $(VENV)/.uv-cache
endif
PIP = $(BIN)/python -m pip --disable-pip-version-check
# The locks are complete, so nothing is resolved. What comes as source is built by the setuptools of requirements-build.txt.
INSTALL = $(if $(HAS_UV),"$(UV)" pip install --python $(BIN)/python,$(PIP) install) --quiet --no-deps --no-build-isolation
COMPILE = "$(UV)" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-header --annotation-style line $(UPGRADE)
BENCHMARKS = $(filter-out __init__ parity%,$(basename $(notdir $(wildcard benchmarks/*.py))))

.PHONY: demo test check lint fuzz bench docs nano lock latest newest clean
.DEFAULT_GOAL := demo

demo: $(USER_STAMP)
	$(BIN)/python gradio_app.py $(ARGS)

test: $(DEV_STAMP)
	$(if $(ARGS),$(BIN)/python -m pytest -q $(ARGS),$(BIN)/python tests/two_processes.py -q)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

fuzz: $(DEV_STAMP)
	PYTHONPATH=.:tests $(BIN)/python -m fuzz $(ARGS)

bench: $(DEV_STAMP)
	@echo "== parity"; $(BIN)/python -m benchmarks.parity tests/golden
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

docs: $(DEV_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

nano: $(DEV_STAMP)
	$(BIN)/python -m recipes.nano.all $(ARGS)

# What each file starts with.
define HEAD
@{ echo "# $(2)"; echo "# Exact versions and hashes, made from pyproject.toml by: make lock"; cat $(1); } > $(1).new
@mv $(1).new $(1)
endef

# requirements-dev.txt comes first and binds the others, so that each package has one version.
lock: $(VENV)/.uv
	$(COMPILE) --all-extras pyproject.toml --output-file requirements-dev.txt
	$(COMPILE) --constraints requirements-dev.txt pyproject.toml --output-file requirements.txt
	printf 'setuptools\nwheel\n' | $(COMPILE) --constraints requirements-dev.txt - --output-file requirements-build.txt
	$(call HEAD,requirements-dev.txt,What tests and training need: requirements.txt and all extras of pyproject.toml.)
	$(call HEAD,requirements.txt,What a user needs.)
	$(call HEAD,requirements-build.txt,What builds packages that come as source. It is installed before the other two.)

latest:
	@$(MAKE) --no-print-directory newest VENV=.venv-latest

# --no-config leaves out [tool.uv] of pyproject.toml, which keeps versions back; what it excludes is named here again.
newest: $(VENV)/.uv
	echo pyaudio | "$(UV)" pip install --python $(BIN)/python --no-config --upgrade --excludes /dev/stdin --editable ".[dev]"
	$(BIN)/python -m pytest -q $(ARGS)

clean:
	rm -rf $(VENV) .venv-latest .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; name another: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment $(VENV) with $(PYTHON)"
	$(PYTHON) -m venv $(VENV)

# An environment that uv made is without pip.
$(VENV)/.uv: $(BIN)/python
	@test -x "$(UV)" || $(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@test -x "$(UV)" || $(PIP) install --quiet $(UV_RELEASE) \
		|| echo "$(UV_RELEASE) cannot be installed: pip is used instead, which takes some minutes more"
	@touch $@

$(USER_STAMP): $(VENV)/.uv
	@echo "Installing requirements.txt into $(VENV), once: 3.2 GB to download, 6 GB on disk, some five minutes at 100 Mbit/s"
	@rm -f $(VENV)/.user-* $(VENV)/.dev-*
	$(INSTALL) --require-hashes --requirement requirements-build.txt
	$(INSTALL) --require-hashes --requirement requirements.txt
	@rm -rf $(VENV)/.uv-cache
	@touch $@

# requirements-dev.txt holds all of requirements.txt, hence both stamps.
$(DEV_STAMP): $(VENV)/.uv
	@echo "Installing requirements-dev.txt into $(VENV), once: 3.5 GB to download, 7 GB on disk, some five minutes at 100 Mbit/s"
	@rm -f $(VENV)/.user-* $(VENV)/.dev-*
	$(INSTALL) --require-hashes --requirement requirements-build.txt
	$(INSTALL) --require-hashes --requirement requirements-dev.txt
	$(INSTALL) --editable .
	@rm -rf $(VENV)/.uv-cache
	@touch $@ $(USER_STAMP)
