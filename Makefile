# Holdfast. `make run` and `make test` set up what they need.
PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lock bench crash soak lost-answers proxy races diskfaults fuzz mutants coverage simulate bugzoo docs clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(RUNTIME) ## Make .venv from the hash-locked requirements

run: $(RUNTIME) ## Start the daemon with config.yaml (simulated market, paper venue)
	@exec $(BIN)/holdfast run

# What fails beside others is tried once more, alone, and said: real processes have real time on a machine that may be slow.
test: $(DEV) ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile || \
	  { echo "Once more, alone, what failed:"; $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

check: $(DEV) ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

crash: $(DEV) ## kill -9 a real daemon at random and at labelled instants: make crash N=200
	@$(BIN)/python -m tests.crash --kills $(or $(N),50) --labelled $(or $(N),50)

proxy: $(DEV) ## Trade through a network that mangles its sockets: make proxy SECONDS=60
	@$(BIN)/python -m tests.proxy --seconds $(or $(SECONDS),60)

races: $(DEV) ## Start two daemons on one directory at the same instant: make races N=100
	@$(BIN)/python -m tests.races --races $(or $(N),100)

lost-answers: $(DEV) ## Lose half of all answers, see whether an order is doubled or forgotten: make lost-answers N=2000 VENUE=okx
	@$(BIN)/python -m tests.lost_answers --orders $(or $(N),2000) --venue $(or $(VENUE),paper)

diskfaults: $(DEV) ## Change every byte of every file, fail every call, cut the power: make diskfaults STEP=10
	@nice -n 10 $(BIN)/python -m tests.diskfaults --step $(or $(STEP),1)

fuzz: $(DEV) ## Feed every reader inputs that are nearly right: make fuzz SECONDS=60
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

coverage: $(DEV) ## Run the tests of the core, show lines and branches of it that none takes
	@$(BIN)/python -m tests.covered

mutants: $(DEV) ## Make small mistakes in the core, see whether the tests notice: make mutants MODULE=domain.order
	@$(BIN)/python -m tests.mutation $(MODULE) $(if $(JOBS),--jobs $(JOBS))

simulate: $(RUNTIME) ## Let the whole daemon live through simulated days of bad luck: make simulate SEEDS=100
	@$(BIN)/holdfast simulate --seeds $(or $(SEEDS),20) --first $(or $(FIRST),0) --jobs $(or $(JOBS),1) --json

bugzoo: $(DEV) ## Plant bugs in the daemon, see whether the simulation finds each: make bugzoo ONLY=fees_left_out
	@$(BIN)/python -m tests.bugzoo --only $(ONLY) --seeds $(or $(SEEDS),300) --jobs $(or $(JOBS),1)

soak: $(DEV) ## Let the daemon live through simulated hours, see whether anything grows: make soak HOURS=24
	@$(BIN)/python -m tests.soak --hours $(or $(HOURS),24)

bench: $(DEV) ## Measure; each prints a table, and JSON with --json
	@for file in bench/bench_*.py; do echo "== $$file"; $(BIN)/python -m bench.$$(basename $$file .py) || exit 1; done

docs: $(DEV) ## Write what is generated in docs/, build the site into ./site
	$(BIN)/python -m docs.draw
	$(BIN)/python -m docs.settings
	$(BIN)/python -m docs.reference
	$(BIN)/python -m docs.okx_tables
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documents are in site/index.html"

lock: ## Renew the requirements files from pyproject.toml
	$(PYTHON) -m piptools compile -q --generate-hashes --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra build -o requirements.txt pyproject.toml
	$(PYTHON) -m piptools compile -q --generate-hashes --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra build --extra dev -c requirements.txt \
	  -o requirements-dev.txt pyproject.toml

clean: ## Remove .venv and caches; keeps ./var
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis .pytest_cache .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv

$(RUNTIME): requirements.txt pyproject.toml | .venv/bin/python
	@echo "Setting up .venv (once; about half a minute)…"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q actors daemon domain exchanges runtime storage strategies
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Setting up the tools for development…"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
