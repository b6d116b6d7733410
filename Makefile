# Everything one types while working on mmbert. 'make' or 'make help' lists it.
# A command that needs the environment makes it first; a second call finds it and installs nothing.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

# The stamp holds the folder it was made for: the scripts in a copied or moved environment point to the old place.
ifneq ($(shell cat $(STAMP) 2>/dev/null && $(BIN)/python -c "" 2>/dev/null || echo broken),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: help setup demo test test-all lint check format bench clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "mmbert: multimodal fusion of text, image and audio"; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-18s %s\n", $$1, $$2}'
	@echo; echo "Another Python: make setup PYTHON=python3.12"

setup: $(STAMP)  ## make .venv and install mmbert with everything it needs (about 7 GB, some minutes, once)

$(STAMP): setup.cfg setup.py pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" sh .ci/setup

demo: $(STAMP)  ## train the default text+image+audio model on the demo set and show its test metrics
	@$(BIN)/mmbert-train

test: $(STAMP)  ## the tests, those marked slow, gpu or network left out
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-all: $(STAMP)  ## the slow tests too, and those for a GPU where there is one
	@$(BIN)/python -m pytest -m "not network" -n auto --maxprocesses 4 --dist worksteal

lint: check
check: $(STAMP)  ## style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP)  ## put the formatting right, and what ruff can mend by itself
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(STAMP)  ## measure start-up, speed and memory (an hour); results go to benchmarks/results
	@for name in startup throughput frameworks where_time_goes input_pipeline memory multirun encode_once length_buckets fusion serving streaming clips series; do \
		echo "benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:  ## remove the environment and caches; runs in outputs/ and multirun/ stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
