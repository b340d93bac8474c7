# A bare machine needs Python 3.11 or later, a C compiler and make; everything else is installed into .venv by these targets.
#
#   make quickstart   train on real data, export to one C file, compile it, compare       (about two minutes)
#   make test         the fast tests, with the comparison against MXNet where it is there (under 15 minutes, two cores)
#   make test-all     every test                make check   ruff, mypy, fast tests
#   make bench        every benchmark           make parity-env   MXNet 1.9.1 in a venv of its own
#   make docs-check   the code in README and docs runs       make clean   remove both venvs and caches

# The first interpreter that runs, is in range and can make a venv (some systems ship python3 without ensurepip).
find_python = $(shell for p in $(1); do \
    $$p -c 'import sys, ensurepip, venv; sys.exit(not (3, $(2)) <= sys.version_info[:2] <= (3, $(3)))' \
    >/dev/null 2>&1 && { echo $$p; break; }; done)
PYTHON        ?= $(call find_python,python3.11 python3.12 python3.13 python3.14 python3 python,11,99)
# MXNet 1.9.1 needs NumPy below 1.24, which has wheels up to Python 3.11.
PARITY_PYTHON ?= $(call find_python,python3.11 python3.10 python3.9 python3.8 python3,8,11)

# On Linux pip's default torch brings CUDA (3 GB).  Name an index of CPU wheels to save that:
# make TORCH_INDEX='--index-url https://...' quickstart
TORCH_INDEX ?=

WORKERS ?= 2
PIP      = .venv/bin/python -m pip --disable-pip-version-check
INSTALL  = $(PIP) install -q -c constraints.txt
PYTEST   = OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n $(WORKERS)

.PHONY: quickstart test test-all check golden bench parity-env docs-check clean

quickstart: .venv/.quickstart
	.venv/bin/python -m mxdl.cli.main quickstart

test: .venv/.dev
	$(PYTEST) -m "not slow"

test-all: .venv/.dev
	$(PYTEST)

check: .venv/.dev
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy
	$(MAKE) --no-print-directory test

docs-check: .venv/.dev
	$(PYTEST) tests/docs

golden: .venv/.dev
	.venv/bin/python -m tests.golden

bench: .venv/.dev
	for b in eager_overhead train_step first_call graph_passes inference inference_sequence memory kvstore kvstore_scaling; do .venv/bin/python benchmarks/$$b.py || exit 1; done

.venv/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "mxdl needs Python 3.11 or later with the venv module; none found. Name one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) --no-deps $(TORCH_INDEX) torch
	@touch $@

.venv/.quickstart: .venv/.torch pyproject.toml setup.py
	$(INSTALL) -e '.[quickstart,plot]'
	@touch $@

.venv/.dev: .venv/.torch pyproject.toml setup.py
	$(INSTALL) -e '.[dev]'
	@touch $@ .venv/.quickstart

parity-env: .parity-venv/.installed

.parity-venv/.installed:
	@test -n "$(PARITY_PYTHON)" || { echo "MXNet 1.9.1 needs Python 3.8-3.11 with the venv module; none found. Name one: make parity-env PARITY_PYTHON=/path/to/python"; exit 1; }
	$(PARITY_PYTHON) -m venv .parity-venv
	.parity-venv/bin/python -m pip --disable-pip-version-check install -q mxnet==1.9.1 numpy==1.23.5
	.parity-venv/bin/python -c 'import mxnet; print("parity reference: MXNet", mxnet.__version__)'
	@touch $@

clean:
	rm -rf .venv .parity-venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
