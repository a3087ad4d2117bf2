# What people type. Each target does all the set-up that it needs.

include zipapp.mk
.DEFAULT_GOAL := help

.PHONY: help setup demo check format types lint layers test dist bench clean requirements

BIN := $(VENV)/bin
READY := $(VENV)/dev.stamp

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' Makefile | expand -t 20

setup: $(READY)  ## a Python environment in .venv with pinned, hashed packages

demo: dist/cw  ## build dist/cw and run a whole mesh on this host with it
	dist/cw demo

check: lint layers types test  ## format, lint, layers, types, tests

lint: $(READY)  ## format and style, changing nothing
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

layers: $(READY)  ## who may import whom
	$(BIN)/python tools/layers.py

types: $(READY)  ## mypy, strict
	$(BIN)/mypy .

test: build/needs-tests.stamp $(READY) dist/cw  ## every test, with coverage
	$(BIN)/pytest --cov --cov-report=term

format: $(READY)  ## put every file in the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dist: dist/cw  ## the one file, dist/cw

bench: dist/cw $(READY)  ## measure start-up, an idle agent, and a broker with a thousand
	$(BIN)/python -m bench.startup
	$(BIN)/python -m bench.idle
	$(BIN)/python -m bench.swarm

clean:  ## remove what was made, but for .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The tool is in an environment of its own: it needs a pip of its own.
requirements: $(VENV)/made.stamp  ## write requirements/*.txt anew from pyproject.toml, versions kept
	$(PYTHON) -m venv build/pip-tools
	build/pip-tools/bin/pip install -qq --disable-pip-version-check pip-tools
	CUSTOM_COMPILE_COMMAND='make requirements' build/pip-tools/bin/pip-compile $(PINNED) \
	    --output-file requirements/run.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND='make requirements' build/pip-tools/bin/pip-compile $(PINNED) \
	    --extra dev --constraint requirements/run.txt --output-file requirements/dev.txt pyproject.toml

PINNED := --quiet --no-config --generate-hashes --strip-extras --annotation-style line --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

build/needs-tests.stamp: tools/needs.sh
	@PYTHON='$(PYTHON)' sh tools/needs.sh tests
	@mkdir -p build
	touch $@

$(READY): requirements/dev.txt $(VENV)/made.stamp
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
	    --requirement requirements/dev.txt
	touch $@
