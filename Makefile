# make setup   .venv with pinned dependencies; everything else does this first
# make demo    back up a sample cell, lose it, bring it back
# make test    every check
# make serve CELL=/opt/pic     run the service
# make backup CELL=/opt/pic    write the quick archive: no service, no Redis, no Docker
# make bench   side by side with what one would run instead
# make load    1 000 small jobs from 50 clients
# make faults  kill, stop and cut the real service 200 times
# make screenshots   take the pictures of the documentation anew

PYTHON ?= python3
CELL ?= /opt/pic
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_TO_TEST := $(VENV)/.ready-to-test
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint deploy/constraints.txt

.PHONY: setup demo test format serve backup bench load faults screenshots clean

setup: $(READY)

$(READY): pyproject.toml deploy/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cell-backup needs Python 3.11 or newer"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(READY_TO_TEST): $(READY)
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/cell-backup demo

test: $(READY_TO_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

format: $(READY_TO_TEST)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(READY)
	@$(BIN)/cell-backup serve --cell-root $(CELL)

backup: $(READY)
	@$(BIN)/cell-backup quick --cell-root $(CELL)

bench: $(READY_TO_TEST)
	$(BIN)/python -m benchmarks

load: $(READY_TO_TEST)
	$(BIN)/python -m benchmarks.load

faults: $(READY_TO_TEST)
	CELL_BACKUP_FAULT_RUNS=$(or $(RUNS),200) $(BIN)/python -m pytest -rA -s tests/faults/processes

screenshots: $(READY_TO_TEST)
	CELL_BACKUP_SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/browser/test_pictures.py

clean:
	rm -rf $(VENV) build *.egg-info
