# make run    serve the real thing; the first time it makes what it needs
# make test   the tests, on a real PostgreSQL
# make help   the rest

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help run dev example client test test-slow test-night check bench profile growth refresh sql openapi migration format lock audit sbom clean
.DEFAULT_GOAL := help

# An environment that has moved, or whose Python is gone, is made anew.
$(shell [ -e $(VENV) ] || rm -f $(VENV); [ -x $(BIN)/python ] || rm -f $(VENV)/run $(VENV)/dev)

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: $(VENV)/run .env ## Serve on HOST:PORT, with an embedded PostgreSQL unless DATABASE_URL is set
	@exec $(BIN)/python -m app serve

dev: $(VENV)/run .env ## Serve like make run, and anew whenever the code changes
	@exec $(BIN)/python -m app serve --reload

example: $(VENV)/run .env ## Serve the page of examples/web at http://localhost:3000, and the service beside it
	@$(BIN)/python examples/serve.py 3000 2>/dev/null & page=$$!; \
	sleep 1; kill -0 $$page 2>/dev/null || { echo "Port 3000 is in use by another program."; exit 1; }; \
	trap 'kill $$page' EXIT; trap : INT TERM; echo "The page is at http://localhost:3000"; \
	FRONTEND_URL=http://localhost:3000 PORT=8000 $(BIN)/python -m app serve

test: $(VENV)/dev ## Run the tests, with coverage and its floors; some of them by ARGS="-k toggle", without
ifeq ($(ARGS),)
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(BESIDE)
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=90
	@$(BIN)/coverage report --fail-under=100 --include='$(WHOLE)'
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-slow: $(VENV)/dev ## Run the attacks and faults that each landing passes, with a twentieth of their rounds
	$(BIN)/python -m pytest $(BESIDE) -m 'slow and not nightly and not alone'
	$(BIN)/python -m pytest -m 'slow and not nightly and alone'

test-night: $(VENV)/dev ## Run all attacks and faults with all their rounds (an hour and a half)
	$(BIN)/python -m pytest $(BESIDE) -m 'slow and not alone'
	$(BIN)/python -m pytest -m 'slow and alone'

test-slow: export TEST_ROUNDS ?= 5

# Three workers for two processors, as tests wait now and then, each with a database of its own; if one dies the run ends.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 3 / 2 \| 1)
BESIDE = -n $(WORKERS) --dist worksteal --max-worker-restart 0
WHOLE  := app/auth/*,app/sessions/*,app/accounts/*,app/tasks/*,app/contracts/*
# Whatever the shell says: without kept bytecode every run, and every server that a test starts, begins seconds later.
unexport PYTHONDONTWRITEBYTECODE

check: $(VENV)/dev ## Check formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev ## Measure against the usual way and against the limit (needs wrk); PLOT=get.svg draws 1 to 1,000 clients
	$(if $(PLOT),$(BIN)/python -m pip install --quiet matplotlib)
	$(BIN)/python -m tests.bench.compare $(if $(PLOT),--plot $(PLOT)) $(BENCH)

profile: $(VENV)/dev ## Show where the time of a request goes
	@$(BIN)/python -m tests.bench.profile 2>/dev/null

growth: $(VENV)/dev ## Measure what each operation costs as the tables grow, and draw it (nine minutes, 10 GB)
	$(BIN)/python -m pip install --quiet matplotlib
	$(BIN)/python -m tests.growth.measure $(GROWTH)
	$(BIN)/python -m tests.growth.plot

refresh: $(VENV)/dev ## Measure what a refresh costs PostgreSQL among 100,000 sessions, beside 1.0 (two minutes)
	$(BIN)/python -m tests.growth.refresh

sql: $(VENV)/dev ## Write docs/statements.sql anew
	@$(BIN)/python -m tests.support.statements > docs/statements.sql

openapi: $(VENV)/run ## Write docs/openapi.json anew, and the JavaScript client's types from it
	@$(BIN)/python -m app openapi > docs/openapi.json
	@$(BIN)/python clients/javascript/write_types.py docs/openapi.json > clients/javascript/src/api.ts

client: ## Build the JavaScript client anew, and what examples/web has of it (needs npm)
	@npm --prefix clients/javascript install --no-package-lock --no-audit --no-fund --loglevel=error
	@$(PYTHON) examples/take_client.py clients/javascript/dist

migration: $(VENV)/dev ## Begin a migration: make migration NAME="due dates"
	@test -n "$(NAME)" || { echo 'Name it: make migration NAME="due dates"'; exit 2; }
	@$(BIN)/alembic revision -m "$(NAME)" --rev-id "$$(ls migrations/versions | sed -n 's/^\([0-9]*\)_.*/\1/p' | tail -1 | awk '{printf "%04d", $$1 + 1}')"

format: $(VENV)/dev ## Format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/dev ## Write the hashed requirements files anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q pyproject.toml --extra redis --extra metrics --extra passkeys $(LOCK) -o requirements-server.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra embedded --extra metrics --extra passkeys $(LOCK) -o requirements.txt
	$(BIN)/uv pip compile -q pyproject.toml --all-extras $(LOCK) -o requirements-dev.txt

LOCK := --generate-hashes --universal --python-version 3.11 --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links

audit: $(VENV)/audit ## Look up what is installed among known vulnerabilities
	@$(VENV)/audit/bin/python .ci/audit.py audit requirements-server.txt requirements.txt requirements-dev.txt

sbom: $(VENV)/audit ## List what the image installs in sbom.json (CycloneDX)
	@$(VENV)/audit/bin/python .ci/audit.py sbom requirements-server.txt sbom.json

clean: ## Remove the virtual environment and caches; the data in .data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*

$(VENV)/run: requirements.txt
	@$(call install,requirements.txt)
	@touch $@

$(VENV)/dev: requirements-dev.txt
	@$(call install,requirements-dev.txt)
	@touch $@ $(VENV)/run

$(VENV)/audit: .ci/audit.py
	@$(PYTHON) -m venv $@
	@$@/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@

define install
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=/path/to/python3.11")' && \
	echo "Installing $(1) into $(VENV) ..." && \
	$(PYTHON) -m venv $$([ -x $(BIN)/python ] || echo --clear) $(VENV) && \
	{ PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) || \
	{ echo "Is there a network? The address of a mirror goes into PIP_INDEX_URL." >&2; exit 1; }; }
endef

.env: | .env.example
	@secret=$$($(BIN)/python -m app secret) && new=$$(mktemp .env.XXXXXX) && \
	sed "s|^BETTER_AUTH_SECRET=.*|BETTER_AUTH_SECRET=$$secret|" .env.example > $$new && \
	{ ln $$new .env 2>/dev/null && echo "Wrote .env with a new secret."; rm $$new; test -e .env; }  # another may be first
