# Everything a developer does here. Needs python 3.11 or newer, git and make; each target installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 2
# Where it is set, every process compiles the source anew: seconds of each start, and minutes of the tests.
unexport PYTHONDONTWRITEBYTECODE
SECONDS_SINCE = echo "$@ took $$(( $$(date +%s) - $(1) )) s"

.DEFAULT_GOAL := help
.PHONY: help install demo serve test chaos bot-kills fuzz sim check fmt bench bench-compare bench-plots screenshots reference lock clean

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-13s %s\n' "$$name" "$$text"; done

install: $(VENV)/.stamp-run ## Install comfygate into .venv
	@echo "installed: $(BIN)/comfygate --help"

demo: $(VENV)/.stamp-run ## Make a picture and a clip from nothing, with credits, and stop (WORKFLOW STYLE: a sample)
	$(BIN)/comfygate demo $(if $(WORKFLOW),--workflow $(WORKFLOW)) $(if $(STYLE),--style $(STYLE))

serve: $(VENV)/.stamp-run ## Run the gateway here until Ctrl-C
	$(BIN)/comfygate serve

test: $(VENV)/.stamp-test ## Run every test (WORKERS=2 processes)
	@start=$$(date +%s); $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS) && $(call SECONDS_SINCE,$$start)

JOBS ?= 5000
KILLS ?= 200
ENGINE ?= both
REPLICAS ?= 3

chaos: $(VENV)/.stamp-test ## Kill -9 gateways, simulators, database; audit (JOBS KILLS ENGINE REPLICAS SEED)
	@$(BIN)/python -m tests.chaos --jobs $(JOBS) --kills $(KILLS) --engine $(ENGINE) --replicas $(REPLICAS) \
		$(if $(SEED),--seed $(SEED))

bot-kills: $(VENV)/.stamp-test ## Kill -9 the bot's process at every step of a job, before and after it, on both engines; and 50 chats
	KILLS=all CHATS=50 $(BIN)/python -m pytest -n $(WORKERS) tests/bot/test_kill.py tests/bot/test_positions.py

fuzz: $(VENV)/.stamp-test ## Send what the API's document allows and forbids, much of it (EXAMPLES=100 SEED)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),100) $(if $(SEED),FUZZ_SEED=$(SEED)) $(BIN)/python -m pytest -n $(WORKERS) \
		-o timeout=1800 tests/api/test_fuzz.py

sim: $(VENV)/.stamp-test ## Simulate crashes and trouble from seeds (SEEDS=2000, or SEED=17 to replay one)
	$(BIN)/python -m tests.sim $(if $(STORM),--storm $(STORM)) $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200) --workers $(WORKERS))

check: $(VENV)/.stamp-dev ## Check format, lint, types, imports and sizes
	@start=$$(date +%s); set -e; \
		$(BIN)/ruff format --check .; \
		$(BIN)/ruff check .; \
		failed=; $(BIN)/mypy & types=$$!; \
		$(BIN)/lint-imports && $(BIN)/python -m pytest -q tests/tidy || failed=1; \
		wait $$types || failed=1; \
		test -z "$$failed"; \
		$(call SECONDS_SINCE,$$start)

fmt: $(VENV)/.stamp-dev ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/.stamp-test ## Measure on both engines, in ratios (NAME=utilisation, or several names)
	$(BIN)/python -m benchmarks $(NAME)

bench-compare: $(VENV)/.stamp-test ## Set the last run's ratios beside the committed ones
	$(BIN)/python -m benchmarks.results

bench-plots: $(VENV)/.stamp-test ## Write the tables and plots of docs/performance.md (KEEP=1: from the last run)
	$(BIN)/python -m benchmarks.document $(if $(KEEP),keep)

screenshots: $(VENV)/.stamp-test ## Write the pictures of the pages that the docs show (needs chromium)
	$(BIN)/python -m tests.web.screenshots

reference: $(VENV)/.stamp-run ## Write docs/reference/settings.md from the settings
	$(BIN)/python -c "from pathlib import Path; from comfygate.settings import reference; \
		Path('docs/reference/settings.md').write_text(reference(), encoding='utf-8')"

# One lock for every system and Python: markers in the files say which pin is for whom.
LOCK = $(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url --no-emit-find-links --quiet $(if $(UPGRADE),--upgrade) \
	pyproject.toml requirements/build.in

lock: $(VENV)/.stamp-venv ## Pin requirements/*.txt anew (UPGRADE=1 for newest versions)
	@test -x $(BIN)/uv || $(PIP) install uv
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(LOCK) --extra dev -o requirements/dev.txt
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(LOCK) --extra test -c requirements/dev.txt -o requirements/test.txt
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(LOCK) -c requirements/dev.txt -o requirements/run.txt
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(LOCK) --extra traces -c requirements/dev.txt -o requirements/traces.txt

clean: ## Remove the venv and every cache; your data folders stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-venv:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: comfygate needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1); set PYTHON=" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "make: no venv could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# Wheels only: nothing is compiled here, and no source package runs its own code at install.
$(VENV)/.stamp-run: requirements/run.txt pyproject.toml $(VENV)/.stamp-venv
	$(PIP) install --only-binary :all: --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.stamp-test: requirements/test.txt $(VENV)/.stamp-run
	$(PIP) install --only-binary :all: --require-hashes -r requirements/test.txt
	@touch $@

$(VENV)/.stamp-dev: requirements/dev.txt $(VENV)/.stamp-test
	$(PIP) install --only-binary :all: --require-hashes -r requirements/dev.txt
	@touch $@
