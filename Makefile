# Every target makes its own set-up: a virtual environment in .venv, with the versions pinned in constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := setup.cfg pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SERVE := --host 127.0.0.1 --port 8080

.DEFAULT_GOAL := help
.PHONY: help demo test serve lint bench calibrate soak chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/runtime ## two models on real data: split, shadow, outcomes, verdict, promote (about half a minute)
	$(BIN)/tiltyard demo

# Two processes, as two cores are what tests may count on; tests/conftest.py says how they share the work.
test: .venv/development ## all tests; system packages are installed where that may be done
	@scripts/system-packages
	$(BIN)/python -m pytest -n 2

serve: .venv/runtime ## a server on http://127.0.0.1:8080; SERVE="--port 9000" for another place
	$(BIN)/tiltyard serve $(SERVE)

lint: .venv/development ## ruff, mypy --strict, and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/development ## speed, as ratios in one run
	$(BIN)/python -m benchmarks.bench

# One thread of BLAS: the simulation keeps one core busy for about five minutes.
calibrate: .venv/runtime ## error rates of every test by simulation, in full; ARGS=--write puts them into docs/statistics.md
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.calibrate $(ARGS)

soak: .venv/development ## an hour under load: memory, files and lag stay flat
	$(BIN)/python -m benchmarks.soak

chaos: .venv/development ## a thousand kills under load: nothing lost, nothing twice
	$(BIN)/python -m benchmarks.chaos

clean: ## remove .venv and whatever tools have left
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/runtime: $(SOURCES) scripts/virtualenv
	@scripts/virtualenv $(PYTHON) .venv
	@echo "Installing Tiltyard into .venv (a minute or two)"
	@$(INSTALL) --editable .
	@touch $@

.venv/development: .venv/runtime
	@echo "Installing what tests and linters need"
	@$(INSTALL) --editable '.[test,lint]'
	@touch $@
