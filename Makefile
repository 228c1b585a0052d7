# `make` alone lists the targets. Needed: Python 3.11 to 3.14 and make. Nothing is written outside this folder but pip's cache.

# The newest Python on PATH that works: version managers leave commands there that only print an error.
ifndef PYTHON
FIND_PYTHON = $(shell for python in python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$python; break; }; done)
PYTHON = $(eval PYTHON := $(FIND_PYTHON))$(PYTHON)
endif
ARGS ?=
# Most tests wait: three processes, each with servers of its own, a test file at a time. A process that crashes is not replaced.
PARALLEL ?= --numprocesses=3 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0
BIN := .venv/bin
NPM := PATH="$(CURDIR)/.node/bin:$$PATH" npm_config_cache="$(CURDIR)/.build/npm" npm --prefix web
SETUP = $(if $(PYTHON),,$(error Fleetpulse needs a Python from 3.11 to 3.14 and none of python3.14 … python3.11 on PATH \
	works: install one (Debian: apt-get install python3 python3-venv; macOS: brew install python@3.13) and run make again))$(PYTHON) -m infra.setup

.DEFAULT_GOAL := help
.PHONY: help check setup demo test faults bench lint format unit web lock wheel clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

check: ## See whether this machine has what Fleetpulse needs; downloads nothing.
	@$(SETUP) check

setup: ## Install everything into this folder: .venv, Kafka's jars, Node and the page (a second run takes a second).
	@$(SETUP) install

demo: setup ## Run the whole system on this machine in the foreground; ARGS='--ports auto' when a port is taken.
	@[ -t 0 ] && set -m; $(BIN)/fleetpulse up $(ARGS); exit $$? # set -m: Ctrl-C reaches it and not make, which would fail

test: setup lint ## Run every check and every test; ARGS='-k name' is passed to pytest.
	$(NPM) run check
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

faults: setup ## Break everything on purpose, compare with an oracle, write docs/faults.md (up to 30 minutes).
	$(BIN)/python -m tests.faults --write --results .build/faults.json $(ARGS)

bench: setup ## Run every benchmark, the peers beside it; writes .build/bench.json (ARGS='ingest --samples 2M' for one).
	$(BIN)/python -m bench $(if $(ARGS),$(ARGS),all --json .build/bench.json)

unit: setup ## Run the tests that need no server.
	$(BIN)/python -m pytest $(PARALLEL) tests/unit $(ARGS)

lint: setup ## Check style, types and the import rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Rewrite the Python files in the common format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

web: setup ## Serve the page from its sources, with reload, against an API on port 8000.
	$(NPM) run dev

lock: ## Resolve the dependencies anew and rewrite infra/lock/.
	@$(SETUP) lock

wheel: ## Build dist/*.whl, the page inside.
	@$(SETUP) wheel

clean: ## Remove everything that was built or installed; data in .fleetpulse/ stay.
	@$(SETUP) clean
