# One command each. `make demo` and `make test` alone suffice on a fresh machine: both set up first.
.DEFAULT_GOAL := help
.PHONY: help setup lint format test demo bench faults gpu-check lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.enginery-setup
TEST_ARGS ?=
GPU_CHECK_ARGS ?=
# Where it is set, every process compiles our sources again, and so does every program that a test starts.
unexport PYTHONDONTWRITEBYTECODE
# tests/conftest.py sorts and groups the tests for these; the third uses the time in which the others wait.
PROCESSES := --numprocesses=3 --dist=loadscope --no-loadscope-reorder

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv from the lock (skipped when up to date)

$(STAMP): requirements/dev.txt pyproject.toml .ci/setup
	.ci/setup $(VENV)
	@touch $@

lint: setup ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup ## every test that needs no GPU, but for `faults`; TEST_ARGS is passed on to pytest
	$(BIN)/python -m pytest $(PROCESSES) tests/unit tests/integration tests/e2e $(TEST_ARGS)

demo: setup ## the main job, end to end, on this machine
	$(BIN)/enginery demo

bench: setup ## times, memory and speed of the pipeline itself
	$(BIN)/python -m tests.bench

faults: setup ## kill and break things at every stage
	$(BIN)/python -m pytest tests/faults $(TEST_ARGS)

gpu-check: setup ## engines on this machine's GPU, from a checkpoint that it trains to generated text; GPU_CHECK_ARGS is passed on
	$(BIN)/python -m flows.gpu_check $(GPU_CHECK_ARGS)

# Locks hold names, versions and hashes only. `make lock UPGRADE=--upgrade` moves every pin to the newest that fits;
# without it, pins that still fit are kept.
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet $(UPGRADE)

lock: ## resolve requirements/*.txt again from pyproject.toml
	$(LOCK) --output-file requirements/core.txt
	$(LOCK) --extra dev --output-file requirements/dev.txt

clean: ## remove what tools left in the checkout; .venv, toolchains and the local stack stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
