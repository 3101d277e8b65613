# Short names for the README's commands. All set the environment up first, in .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
# The machine's uv, or one of our own in a private place.
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true
TESTS ?= tests
KEEP ?= 30

.PHONY: help env lock run ui workbench workbench-down test test-long test-containers lint generate format bench honesty prune clean

help:
	@echo 'make run        the whole chain on the embedded bars'
	@echo 'make ui         the MLflow UI on what has run'
	@echo 'make workbench  JupyterLab, a tracking server and PostgreSQL in containers (workbench-down ends them)'
	@echo 'make test       the test suite'
	@echo 'make test-long  the long forms of the tests'
	@echo 'make test-containers  the compose files, brought up and checked from outside (Docker)'
	@echo 'make lint       ruff, mypy, and the files that make generate writes'
	@echo 'make generate   MLproject and the page of parameters, from the table of parameters'
	@echo 'make bench      the figures of docs/benchmarks.md'
	@echo 'make honesty    the proof on generated markets, the figures of docs/honesty.md (an hour)'
	@echo 'make prune      remove artifacts of old runs (keeps the KEEP=30 newest main runs)'
	@echo 'make env        only set the environment up, in .venv'

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'error: PYTHON=$(PYTHON): expected Python 3.11 or newer, got an older one. Fix: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m pip install --quiet --target .tools uv \
	  || { $(PYTHON) -m venv .tools && .tools/bin/python -m pip install --quiet uv; } \
	  || { echo 'error: uv: expected it on PATH or from pip, got neither. Fix: install uv or pip.' >&2; exit 1; }

.venv/.locked: uv.lock pyproject.toml | $(UV)
	$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

env: .venv/.locked

# What the notebooks use, too.
.venv/.workbench: .venv/.locked
	$(UV) sync --frozen --quiet --compile-bytecode --extra workbench
	@touch $@

# conda.yaml pins what uv.lock pins: MLflow names its environments by conda.yaml's text.
lock: | $(UV)
	$(UV) lock
	@{ echo '# Made by "make lock" from uv.lock; conda, uv and virtualenv all read it.'; \
	   echo 'name: stockpred'; echo 'channels: [conda-forge]'; echo 'dependencies:'; \
	   echo '  - python=3.11'; echo '  - pip'; echo '  - pip:'; \
	   $(UV) export --frozen --no-dev --no-hashes --no-header --no-annotate --quiet \
	     | sed "s/^/      - \"/; s/\$$/\"/"; } > conda.yaml

# MLproject, docker/project/MLproject and the tables of docs/parameters.md.
generate: env
	python -m steps.cli.generate

run: env
	mlflow run . -e main --env-manager local

ui: env
	mlflow ui --backend-store-uri sqlite:///mlflow.db

# Needs Docker Engine with Compose v2, and no environment of ours.
workbench:
	@$(PYTHON) docker/workbench/dotenv.py
	docker compose up --build --detach --wait
	@$(PYTHON) docker/workbench/dotenv.py --addresses

# The data stays: "docker compose down --volumes" takes it, too.
workbench-down:
	docker compose down

# A module's tests share what they set up: all on one worker.
test: env
	pytest -q -n 2 --dist loadscope -m "not long" $(TESTS)

# The longest tests come first: an idle worker takes over what the other has not begun.
test-long: .venv/.workbench
	pytest -q -n 2 --dist worksteal $(TESTS)

test-containers: env
	pytest -s -m containers $(TESTS)/project/containers

lint: env
	ruff check .
	ruff format --check .
	python -m steps.cli.generate --check
	mypy

format: env
	ruff check --fix .
	ruff format .

bench: env
	python -m benchmarks.orchestration
	python -m benchmarks.yahoo
	python -m benchmarks.validation
	python -m benchmarks.features
	python -m benchmarks.training
	python -m benchmarks.serving
	python -m benchmarks.score
	python -m benchmarks.kills

honesty: env
	python -m studies.honesty --picture docs/images/power.png

prune: env
	python -m steps.prune --keep $(KEEP)

clean:
	rm -rf .venv .tools
