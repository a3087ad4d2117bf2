# What people type. Each target does all the set-up that it needs.

include zipapp.mk
.DEFAULT_GOAL := help

.PHONY: help setup demo check format types lint layers test fuzz fuzz-check fuzz-corpus dist bench clean \
    man reference requirements

BIN := $(VENV)/bin
READY := $(VENV)/dev.stamp
FUZZ_READY := $(VENV)/fuzz.stamp
FUZZ := PYTHONHASHSEED=0 $(BIN)/python -m tests.fuzz.run
FUZZ_TARGETS := assembler verifier machine
FUZZ_SECONDS ?= 60

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 20

setup: $(READY)  ## a Python environment in .venv with pinned, hashed packages

demo: dist/cw  ## build dist/cw and run a whole mesh on this host with it
	dist/cw demo

check: lint layers types fuzz-check test  ## format, lint, layers, types, a little fuzzing, tests

lint: $(READY)  ## format and style, changing nothing
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

layers: $(READY)  ## who may import whom
	$(BIN)/python tools/layers.py

types: $(READY)  ## mypy, strict
	$(BIN)/mypy .

test: build/needs-tests.stamp $(READY) dist/cw  ## every test, with coverage
	$(BIN)/pytest --cov --cov-report=term

fuzz: $(FUZZ_READY)  ## each way into the machine for FUZZ_SECONDS (60), guided by what is reached
	for target in $(FUZZ_TARGETS); do $(FUZZ) $$target --seconds $(FUZZ_SECONDS) || exit; done

# From a fixed seed, so that it is the same each time.
fuzz-check: $(FUZZ_READY)
	@mkdir -p build/fuzz
	@for target in $(FUZZ_TARGETS); do \
	    $(FUZZ) $$target --runs 600 >build/fuzz/$$target.log 2>&1 || { cat build/fuzz/$$target.log; exit 1; }; \
	    echo "fuzzing, $$target: $$(tail -n 1 build/fuzz/$$target.log)"; \
	done

fuzz-corpus: $(FUZZ_READY)  ## take what make fuzz has found into tests/fuzz/corpus, the least that reaches it all
	for target in $(FUZZ_TARGETS); do $(FUZZ) $$target --minimise || exit; done

format: $(READY)  ## put every file in the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dist: dist/cw  ## the one file, dist/cw

bench: dist/cw $(READY)  ## measure start-up, an idle agent, the machine, a broker and a client of ten thousand (4 minutes)
	$(BIN)/python -m bench.startup
	$(BIN)/python -m bench.agents
	$(BIN)/python -m bench.vm
	$(BIN)/python -m bench.broker
	$(BIN)/python -m bench.flood
	$(BIN)/python -m bench.client

man: $(READY)  ## the manual, build/man: what dist/cw man NAME prints of each
	$(BIN)/python -m tools.manual build/man

reference: $(READY)  ## write docs/pendulum.md anew from the table of instructions
	$(BIN)/python -m tools.reference

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
	CUSTOM_COMPILE_COMMAND='make requirements' build/pip-tools/bin/pip-compile $(PINNED) \
	    --output-file requirements/fuzz.txt requirements/fuzz.in

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

$(FUZZ_READY): requirements/fuzz.txt $(READY)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
	    --only-binary :all: --requirement requirements/fuzz.txt
	touch $@
