# make demo and make test set everything up themselves; make setup does only that.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
# The mode that puts this folder on the path, where type checkers and editors find the package, too.
EDITABLE := --config-settings editable_mode=compat --editable

.PHONY: setup demo test check docs format bench clean
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(EDITABLE) ".[dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/molbuffer demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python docs/_site

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH_STAMP)
	for script in benchmarks/*/bench_*.py; do $(BIN)/python $$script || exit 1; done

# The peers that some benchmarks compare with.
$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(EDITABLE) ".[bench]"
	touch $(BENCH_STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info
