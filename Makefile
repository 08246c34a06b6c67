# Everything a newcomer types. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup run test check bench lock browser clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make .venv with the locked dependencies and fm

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

run: setup ## start Force Majeure with a demo event
	$(BIN)/fm up --demo

browser: ## install chromium for the browser tests, where apt-get can
	@command -v chromium >/dev/null 2>&1 || { command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	  echo "browser tests: no chromium here and no way to install it; they will be skipped"

test: setup browser ## run every test
	$(BIN)/python -m pytest -q

check: setup ## format, lint, types, import rules, then every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

bench: setup ## measure the engine beside its peers, interleaved
	$(BIN)/python -m tests.bench

lock: ## resolve the dependencies again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --group dev pyproject.toml -q -o requirements.lock

clean: ## remove what the commands above made
	rm -rf $(VENV) .data .pytest_cache .mypy_cache .ruff_cache
