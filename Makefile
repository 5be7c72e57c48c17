# Every target makes the checkout ready first (.ci/setup: nothing to do takes no time). `make` lists them.
SHELL := /bin/sh
BIN := .venv/bin
RUN := .run/mosaic.config.json
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo run test check pytest matrix bench figures docs site lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make the checkout ready: .venv, pinned requirements, the workspace
	@.ci/setup

demo: setup ## A guided tour: two gateways enroll and exchange rows (KEEP=1 leaves them running)
	@$(BIN)/python docs/demo/tour.py

run: setup ## Start one local gateway in .run; print its URL and an admin token
	@test -e $(RUN) || $(BIN)/mosaic gateway init .run --name local >/dev/null
	@$(BIN)/mosaic --config $(RUN) token create admin --name "make run" --days 1
	@$(BIN)/mosaic --config $(RUN) gateway start

test: check pytest ## Everything CI runs: check, then the tests

check: setup ## Lint, format, types, import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

pytest: setup
	@.ci/services
	@.ci/step-ca >/dev/null
	@$(BIN)/python -m compileall -q -j 2 hookspecs/src migrations/src gateway/src plugins/*/src
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=10 $(ARGS)

matrix: setup ## Try plugins, tiers, versions and Pythons in combination, each installed from wheels (ARGS="--only 'pair *'")
	@.ci/services
	@$(BIN)/python -m tests.matrix $(ARGS)

bench: setup ## Measure, and print one table
	@$(BIN)/python -m tests.bench

figures: setup ## Measure what docs/explanation/scaling.md shows, and draw it (ARGS="growth" for a part of it)
	@$(BIN)/python -m tests.bench --json docs/explanation/figures/results.json $(or $(ARGS),federated search fanout growth)
	@$(BIN)/python -m tests.bench.plot

docs: setup ## Write docs/reference anew from the code
	@$(BIN)/python docs/generate.py

site: setup ## Build the documentation as a site, strictly, into docs/_build
	@$(BIN)/sphinx-build -W -n --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

lock: setup ## Pin requirements.in into requirements.lock, with hashes and no addresses
	$(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-header --universal -p 3.11 --quiet requirements.in -o requirements.lock
