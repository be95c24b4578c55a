# make setup   the environment in .venv, with `orders` and `twofold` in its bin
# make serve   the order service; STORE=<URL> and PORT=<number> choose its store and port
#              STORE=postgres: on a PostgreSQL of its own, with its data in .postgres
# make test    the tests; ARGS="-k name" goes to pytest
# make check   style, types, import layers
# make format  mends what the style check can mend
# make bench   the benchmarks; ARGS="service --only POST"        make soak    the tests that take minutes
# make lock    renews constraints.txt (needs uv)
# make clean   removes .venv and all caches

# The Python that .venv is made from, 3.11 or newer. uv fetches one where it has none.
PYTHON ?= python3
UV     := $(shell command -v uv 2>/dev/null)
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check install
OURS   := -c constraints.txt -e ./twofold -e ./orders

# Pyright would ask a registry whether it is the newest. It is the one in constraints.txt.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup serve test check format bench soak lock clean

help:
	@sed -n '/^#/!q;s/^# //p' $(firstword $(MAKEFILE_LIST))

setup: .venv/.ready-to-test

# Each step is done again only when what it is made from has changed: a pinned version, a dependency, an entry point.
# To serve needs no test tools, so a newcomer does not wait for them.
.venv/.ready-to-serve: twofold/pyproject.toml orders/pyproject.toml constraints.txt
ifdef UV
	"$(UV)" venv --quiet --clear --python "$(PYTHON)" .venv
	"$(UV)" pip install --quiet --python $(BIN)/python $(OURS)
else
	"$(PYTHON)" -m venv --clear .venv
	$(PIP) $(OURS)
endif
	@touch $@

.venv/.ready-to-test: .venv/.ready-to-serve pyproject.toml
ifdef UV
	"$(UV)" pip install --quiet --python $(BIN)/python -c constraints.txt --group dev
else
	@# --group came with pip 25.1, newer than the pip that Python 3.11 brings.
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) -c constraints.txt --group dev
endif
	@touch $@

.venv/.ready-to-bench: .venv/.ready-to-test
ifdef UV
	"$(UV)" pip install --quiet --python $(BIN)/python -c constraints.txt --group bench
else
	$(PIP) -c constraints.txt --group bench
endif
	@touch $@

# exec: a signal reaches the service itself, not a shell around it.
ifeq ($(STORE),postgres)
# A server that is installed will do; else it is the one that comes with the tools for tests.
serve: .venv/.ready-to-test
	@$(if $(PORT),TWOFOLD_PORT='$(PORT)') exec $(BIN)/python -m twofold.testing.postgres .postgres -- $(BIN)/orders serve
else
serve: .venv/.ready-to-serve
	@$(if $(STORE),TWOFOLD_STORE='$(STORE)') $(if $(PORT),TWOFOLD_PORT='$(PORT)') exec $(BIN)/orders serve
endif

# Two processes at once, each with a PostgreSQL and a browser of its own; a file's tests stay together, for what they
# share. ARGS="-n 0" is one process, for a debugger.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: setup
	$(BIN)/python -m pytest -m soak --timeout=0 $(ARGS)

bench: .venv/.ready-to-bench
	$(BIN)/python -m bench $(ARGS)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/mypy twofold/src twofold/tests
	$(BIN)/mypy orders/src orders/tests bench
	$(BIN)/lint-imports --no-logo

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# --universal: one file for every platform and every Python from 3.11 on. The head of the file is kept.
lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv' >&2; exit 1; }
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
	  --no-emit-package twofold --no-emit-package orders --all-extras --group dev --group bench --output-file constraints.new \
	  twofold/pyproject.toml orders/pyproject.toml >/dev/null
	@{ sed -n '/^#/!q;p' constraints.txt; grep '^[a-z]' constraints.new; } > constraints.tmp
	@mv constraints.tmp constraints.txt; rm constraints.new

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
