# `make run` and `make test` set up all that they need in .venv and go.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: run test check bench soak lock clean

run: $(VENV)/.run
	$(BIN)/reelbase serve

# What fails beside four browsers on two cores is run once more, alone: a fault fails again.
test: check
	$(BIN)/python -m pytest -n 4 --dist worksteal || \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Versions only, for every supported Python and platform: no registry address is written.
lock: $(VENV)/.dev
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header \
		--no-emit-index-url pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header \
		--no-emit-index-url --group dev --group bench -c requirements.lock pyproject.toml \
		-o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/pip install --quiet -r requirements-dev.lock
	sh tests/install-browser
	touch $@
