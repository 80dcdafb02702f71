# make run     one whole instance on this machine, until Ctrl-C
# make demo    a campaign of 1,000 recipients through it
# make check   the gate before a commit: format, lint, types, dead code, sizes, and the tests that need no server
# make test    every test (CI=true: nothing may be skipped)
# make drill   faults put into a running instance: their alerts, panels and runbooks (DRILL='full frozen': these alone)
# make chaos   kill -9 of everything while mail is handed over: nothing is lost (CHAOS='--recipients 3000': a short one)
# make audit   known faults of the versions that are locked, by pip-audit
# make bench-relay   messages/s with and without DKIM, beside openssl and Postfix; its last line is JSON
#                    also bench-tracking, -rates, -latency, -mix, -sites, -neighbours, -relay-memory, -memory,
#                    -results, -events, -pages, -contacts, -api, -whom: see loadtests/README.md
#
# Each does its own set-up on a fresh Debian or Ubuntu with Python 3.11 or newer; what is set up already costs nothing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
BIN := .venv/bin
# Where the tests are split by file over processes: servers are started once a process.
PYTEST_WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile
# What the gate runs, and `make check test` therefore not again.
GATE := tests/house tests/contract tests/unit tests/redis/test_scripts.py

# `make check test` is one after the other, with -j too: who has two cores gives them to the tests.
.NOTPARALLEL:
.PHONY: help run demo test check drill chaos audit format lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -10

run: .venv/.ready-run
	@$(BIN)/estafette run

demo: .venv/.ready-run
	@$(BIN)/estafette demo

test: .venv/.ready-test
	@.ci/setup peers
	@$(PYTEST) $(if $(filter check,$(MAKECMDGOALS)),$(GATE:%=--ignore=%)) $(PYTEST_ARGS)

check: .venv/.ready-test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/vulture
	@$(BIN)/python -m tests.house.sizes
	@$(PYTEST) -q $(GATE)

# Known faults of what is locked. It asks a public list of advisories, and fails where that cannot be reached.
audit:
	@.ci/setup audit

bench-%: .venv/.ready-test
	@.ci/setup peers
	@$(BIN)/python -m loadtests.bench_$(subst -,_,$*) $(BENCH_ARGS)

drill: .venv/.ready-test
	@.ci/setup peers
	@$(BIN)/python -m loadtests.drill $(DRILL)

chaos: .venv/.ready-test
	@.ci/setup peers
	@$(BIN)/python -m loadtests.chaos $(CHAOS)

format: .venv/.ready-test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Versions with hashes and no host: what is installed is the same everywhere. `make lock UV=uv` after a change of
# dependencies in pyproject.toml.
UV ?= uv
LOCK := $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate pyproject.toml
lock:
	$(LOCK) --extra redis -o requirements.lock
	$(LOCK) --extra redis --extra archive -c requirements.lock -o requirements-archive.lock
	$(LOCK) --extra redis --extra archive --extra drop -c requirements.lock -o requirements-drop.lock
	$(LOCK) --extra redis --extra postgresql -c requirements.lock -o requirements-postgresql.lock
	$(LOCK) --all-extras -c requirements.lock -o requirements-test.lock

clean:
	rm -rf .venv .peers .audit .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

.venv/.ready-run: requirements.lock pyproject.toml .ci/setup
	@.ci/setup run
	@touch $@

.venv/.ready-test: requirements-test.lock .venv/.ready-run
	@.ci/setup test
	@touch $@
