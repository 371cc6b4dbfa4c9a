# The verbs of this project. `make run` and `make test` are all that a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export XDG_RUNTIME_DIR ?= /tmp
export PIP_DISABLE_PIP_VERSION_CHECK = 1
JOBS   ?= 4
# A process of the hub is a seventh cheaper to start where Python may keep what it compiled (.gitignore knows).
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-browser test-node test-n8n sf-package check setup setup-run fix lint types bench chaos-full fuzz lock clean

help:  ## This list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: setup-run  ## Set up, run the hub among emulated vendors, play a short story, stay up.
	@$(BIN)/python -m sandbox.play

test: setup  ## Set up and run every test that needs Python and wheels alone.
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q

test-browser: setup $(VENV)/browser.stamp  ## The console in a real browser: keyboard, 390 px, dark mode, axe.
	@command -v $(CHROMIUM) >/dev/null || { echo "make test-browser needs Chromium: apt-get install chromium, or name one with CHROMIUM=..."; exit 1; }
	@CHROMIUM=$(CHROMIUM) $(BIN)/python -m pytest -q -p no:randomly tests/browser
CHROMIUM ?= /usr/bin/chromium

test-node: setup  ## Clients in another language: jsforce at the emulated Salesforce, signatures of deliveries (needs Node 20 and npm).
	@command -v npm >/dev/null || { echo "make test-node needs Node 20 and npm: apt-get install nodejs npm"; exit 1; }
	@cd tests/node/salesforce && npm ci --ignore-scripts --no-audit --no-fund --silent
	@$(BIN)/python -m pytest -q tests/node
	@mkdir -p var/node-webhooks && cp tests/node/webhooks/* var/node-webhooks/
	@cd var/node-webhooks && npm install --silent --no-audit --no-fund --no-package-lock
	@$(BIN)/python tests/node/webhooks/sign.py | node var/node-webhooks/verify.mjs

test-n8n: setup  ## The n8n recipe in n8n itself, on loopback (needs Node 20, npm and a C++ compiler; 1.4 GB, minutes the first time).
	@command -v npm >/dev/null && command -v node >/dev/null || { echo "make test-n8n needs Node 20 and npm: apt-get install nodejs npm"; exit 1; }
	@cd tests/node/n8n && { cmp -s package-lock.json node_modules/.installed || { npm ci --ignore-scripts --no-audit --no-fund --silent && npm rebuild sqlite3 --silent && cp package-lock.json node_modules/.installed; }; }
	@$(BIN)/python -m pytest -q -m full tests/node/test_n8n.py

sf-package: setup-run  ## The zip of the Salesforce metadata, for those who deploy it themselves: var/license-usage.zip (SELLS_BY=Contract, say).
	@mkdir -p var && $(BIN)/python -c "from pathlib import Path; from connectors.salesforce.metadata import package; Path('var/license-usage.zip').write_bytes(package(sells_by='$(SELLS_BY)'.split()))"
	@echo "var/license-usage.zip: sf project deploy start --metadata-dir var/license-usage.zip"

check: setup lint types test  ## Everything that must hold: format, lint, types, tests.

setup: $(VENV)/dev.stamp  ## The environment to work in.

setup-run: $(VENV)/run.stamp

fix: setup  ## Format, and mend what can be mended.
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup
	@$(BIN)/mypy

bench: setup  ## Measure speed and memory beside baselines of the same run (docs/bench.md).
	@$(BIN)/python -m bench

chaos-full: setup  ## The faults, a storm of 10,000 events and 200 kills, and a soak of half an hour (prints its seed).
	@$(BIN)/python -m pytest -q -m full --timeout 3600 tests
	@$(BIN)/python -m tests.chaos.storm --events 10000 --kills 200
	@$(BIN)/python -m tests.chaos.soak --minutes 30 --rate 50
	@$(BIN)/python -m tests.chaos.isolation

fuzz: setup  ## The API under calls that a machine makes up (MINUTES=5).
	@$(BIN)/python -m tests.chaos.fuzz --minutes $(MINUTES)
MINUTES ?= 5

lock: setup  ## Write the lock files anew.
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile pyproject.toml --group build $(LOCK) -o requirements/run.txt
	@$(BIN)/uv pip compile pyproject.toml --group build --group dev $(LOCK) -c requirements/run.txt -o requirements/dev.txt
	@$(BIN)/uv pip compile requirements/browser.in $(LOCK) -c requirements/dev.txt -o requirements/browser.txt
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

clean:  ## Remove the environment and everything that ran.
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the hub needs (once) ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "Installing what tests need (once) ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/browser.stamp: requirements/browser.txt $(VENV)/dev.stamp
	@echo "Installing what drives a browser (once) ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/browser.txt
	@touch $@
