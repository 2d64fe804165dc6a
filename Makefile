# Every target sets up what it needs: the virtual environment follows the lock and pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-faults lint format bench bench-docs lock docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY) ## run the example schedule, twice, on real Temporal and print what it did
	@$(BIN)/rota demo

dev: $(READY) ## Temporal with its Web UI, the API and a worker, in the foreground
	@$(BIN)/rota dev

# Tests wait a good part of the time: more of them at once than a small machine has cores.
test: $(READY) ## the test suite
	@$(BIN)/pytest -n 4 --dist worksteal

test-faults: $(READY) ## killed servers, outages, lost workers
	@$(BIN)/pytest -m faults -n 4 --dist worksteal

lint: $(READY) ## formatting, lint, types, import directions, migrations against models
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m catalogue.migrations.check

format: $(READY) ## apply the formatter and the safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## Rota against a bare Temporal workflow on the same server
	@$(BIN)/python -m bench

# The catalogue is measured on the server that the tests use where there is one, else on SQLite.
bench-docs: $(READY) ## measure it all, a large catalogue too: tables into docs/performance.md, JSON beside it
	@$(BIN)/python -m bench --into docs/performance.md --json docs/performance.json
	@$(BIN)/python -m bench catalogue --into docs/performance.md --json docs/performance-catalogue.json \
		$(if $(ROTA_TEST_POSTGRES_URL),--database "$(ROTA_TEST_POSTGRES_URL)")

docs: $(READY) ## write the reference pages that follow from the code
	@$(BIN)/rota step-types --markdown > docs/steps.md

lock: ## resolve pyproject.toml into the lock (needs uv)
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links -o requirements.lock

clean: ## remove the virtual environment and the data of rota dev
	rm -rf $(VENV) .rota

# uv where it is installed, else venv and pip; both check the hashes of the lock.
$(READY): requirements.lock pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@
