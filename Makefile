# `make run` and `make test` are all a newcomer needs. Everything goes into .venv of this checkout.
SHELL := /bin/bash
BIN := .venv/bin
# The first Python of a supported version; PYTHON=python3.12 make run chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
# uv does not read pip's configuration: pass on where pip looks for wheels and packages, if that is set. Where uv cannot
# be had, or does not find what pip finds, pip installs, in twice the time.
export UV_FIND_LINKS ?= $(shell pip config get global.find-links 2>/dev/null)
export UV_DEFAULT_INDEX ?= $(shell pip config get global.index-url 2>/dev/null)
UV := uv==0.13.9
export OMP_WAIT_POLICY := PASSIVE
# Hundreds of processes import the same files: let them be compiled once.
export PYTHONDONTWRITEBYTECODE :=
# Workers take one file of tests after another, in the order of tests/conftest.py. Slow tests wait for servers now and
# then: one worker more keeps two cores busy.
WORKERS ?= 2
SLOW_WORKERS ?= 3
# On CI a tool that is not there is a failure, not a skip.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=25 \
	$(if $(filter true,$(CI)),--no-skips)

.PHONY: run test lint unit slow bench lock tools clean

run: .venv/.run  ## install from the lock, then run the main job on the bundled flights
	$(BIN)/refit run

test:  ## install what tests need, then run all of them
	$(MAKE) --jobs=2 --output-sync=target .venv/.test tools
	export TESTS_SHARED=$$(mktemp -d) && trap 'rm -rf "$$TESTS_SHARED"' EXIT && \
		$(MAKE) --jobs=2 --output-sync=target lint unit && $(MAKE) slow

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/.test
	$(PYTEST) -m "not slow and not flows and not service and not faults"

slow: .venv/.test  # what these tests kill or leave to the end of a process is not closed by anybody
	$(PYTEST) -n $(SLOW_WORKERS) -W default::pytest.PytestUnraisableExceptionWarning $$(grep -rlE "mark\.(slow|flows|service|faults)\b" tests --include='test_*.py') -m "slow or flows or service or faults"

bench: .venv/.test  ## every benchmark at its quick size
	for file in tests/bench/[a-z]*.py; do name=$$(basename $$file .py); echo "== $$name"; \
		$(BIN)/python -m tests.bench.$$name --quick | tail -n 1 || exit 1; done

lock:  ## pin anew (needs uv); torch stays the plain version, so that each machine takes its own build
	set -e; pin() { uv pip compile pyproject.toml "$$@" --universal --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header --quiet | sed -E '/^(nvidia-|cuda-|triton|torch==)/d' \
		| { cat; echo "torch==2.13.0"; } | LC_ALL=C sort; }; \
	pin > requirements.new; mv requirements.new requirements.lock; \
	pin --group test --extra spark --extra networks --extra postgres --constraint requirements.lock > requirements.new; \
	mv requirements.new requirements-test.lock

tools:  # on CI (a bare Debian machine, as root): what some tests use: a browser, a load generator, a database, and strace
	@if [ "$$CI" = true ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& ! { command -v chromium && command -v wrk && command -v strace && ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1; then \
		apt-get update -qq && apt-get install -y -qq chromium wrk strace postgresql >/dev/null; fi

.venv/.python:
	@test -n "$(PYTHON)" || { echo "Refit needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python"; exit 1; }
	if command -v uv >/dev/null; then uv venv --quiet --seed --allow-existing --python "$$(command -v $(PYTHON))" .venv; \
		else $(PYTHON) -m venv .venv && { $(PIP) install $(UV) || true; }; fi
	touch $@

.venv/.run: .venv/.python requirements.lock pyproject.toml
	$(call install,requirements.lock)

.venv/.test: .venv/.python requirements-test.lock pyproject.toml
	$(call install,requirements-test.lock)

PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Compiled at once, by all cores, as far as runs import it: the rest is large.
UNUSED := /(tests|testing|_inductor|plotly|sympy|faker|pip|setuptools|databricks|apprise|altair|fontTools|nltk|pygments|redis|mypyc?)/
define install
PATH="$$PATH:$(BIN)" uv pip install --quiet --python .venv -r $(1) --editable . || $(PIP) install --no-compile -r $(1) --editable .
$(BIN)/python -m compileall -q -j 0 -x '$(UNUSED)' .venv/lib >/dev/null 2>&1 || true
touch $@
endef

clean:
	rm -rf .venv .refit data/{raw,validated,quarantine,features,leaks,tuning,models,evaluation,package,verdict,drift,reports}
