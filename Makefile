# Everything there is to do here. `make` alone says what; each target makes what it needs first.
# Works with GNU make 4.3 and /bin/sh; wants a Python >= 3.11 (another one: make PYTHON=python3.12 ...).

PYTHON ?= python3
VENV := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup runtime demo test quick soak check format docs bench lock upgrade clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1#\2/p' Makefile | awk -F'#' '{printf "%-16s %s\n", $$1, $$2}'

runtime:
	@$(PYTHON) tools/bootstrap.py runtime

setup: ## .venv with everything to work on makegood (done again only when a lock changes)
	@$(PYTHON) tools/bootstrap.py dev

demo: runtime ## a real saga: success, a failure made good, a kill in the middle and the resume
	@$(VENV)/python examples/demo.py

# Two at once by default: many wait more than they compute. Those that fill the machine themselves come last, alone.
test: setup ## all tests; fast ones first (make test WORKERS=1: one after another)
	$(VENV)/python -m pytest -n $(or $(WORKERS),2) --maxschedchunk 1 -m "not alone"; most=$$?; \
	$(VENV)/python -m pytest -m alone; alone=$$?; \
	exit $$((most | alone))

quick: setup ## the tests that take no seconds
	$(VENV)/python -m pytest -x -q -m "not slow"

soak: setup ## servers under load and faults for SOAK minutes (make soak SOAK=60 KILLS=10000); OLDER: a revision to upgrade from
	SOAK=$(or $(SOAK),10) KILLS=$(or $(KILLS),300) OLDER=$(OLDER) $(VENV)/python -m pytest -q tests/api/test_soak.py tests/api/test_kills.py tests/api/test_api_scenarios.py tests/engine/test_replica_faults.py tests/engine/test_database_faults.py

# Every check runs, so that one pass shows all there is to mend; any failure fails the target.
check: setup ## lint, types, layers, locks, docs
	@failed=; \
	for command in \
	  "ruff check --no-cache ." \
	  "mypy" \
	  "lint-imports --no-cache" \
	  "python tools/locks.py --check" \
	  "python tools/docs.py --check" \
	; do \
	  echo "==> $$command"; \
	  $(VENV)/$$command || failed="$$failed\n  $$command"; \
	done; \
	if [ -n "$$failed" ]; then printf "failed:$$failed\n" >&2; exit 1; fi

format: setup ## write the code as the formatter writes it
	$(VENV)/ruff check --fix-only --quiet .
	$(VENV)/ruff format .

docs: setup ## write the pages that are generated from the code
	$(VENV)/python tools/docs.py

bench: setup ## measure this machine
	$(VENV)/makegood bench

lock: setup ## compile requirements/*.lock from pyproject.toml
	@$(VENV)/python -m pip install --quiet "uv>=0.9,<1"
	$(VENV)/python tools/locks.py

upgrade: setup ## the same with the newest versions that pyproject.toml allows
	@$(VENV)/python -m pip install --quiet "uv>=0.9,<1"
	$(VENV)/python tools/locks.py --upgrade

clean: ## remove what was made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
