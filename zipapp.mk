# The one file, for this machine's Python and processor:   make -f zipapp.mk
# Needs Python 3.11 with venv, and once the network, for the wheels named in requirements/run.txt.

PYTHON ?= python3
VENV := .venv
MACHINE := $(shell uname -m)

# A change to any of these makes the file anew. Folders are among them, so that a removed file counts too.
CODE := $(shell find auth conf host mesh net policy roles vm wire -name __pycache__ -prune -o -print 2>/dev/null)
PARTS := cw.py errors.py $(CODE) $(wildcard tools/onefile/*.py)
FOR_PYTHON = $$($(VENV)/bin/python -c 'import platform; print(platform.python_version())')

dist/cw: $(PARTS) build/wheels.stamp
	@mkdir -p dist
	$(VENV)/bin/python -IB tools/onefile/build.py . build/wheels $@

# The oldest C library that the wheels still support, so that the file runs on more than hosts like this one.
build/wheels.stamp: requirements/run.txt | $(VENV)/made.stamp
	rm -rf build/wheels
	$(VENV)/bin/python -m pip download -qq --disable-pip-version-check --no-deps --require-hashes \
	    --requirement requirements/run.txt --dest build/wheels --only-binary :all: \
	    --implementation cp --python-version $(FOR_PYTHON) --platform manylinux2014_$(MACHINE)
	touch $@

$(VENV)/made.stamp: | build/needs.stamp
	$(PYTHON) -m venv $(VENV)
	touch $@

build/needs.stamp: tools/needs.sh
	@PYTHON='$(PYTHON)' sh tools/needs.sh
	@mkdir -p build
	touch $@
