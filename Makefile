# The words of daily work; CI uses the same ones. `make help` lists them.

PORT   ?= 8000
PYTHON ?= python3
# Another environment beside the usual one: make test VENV=.venv-django6 CONSTRAINTS=constraints/py312-django6.txt
VENV        ?= .venv
CONSTRAINTS ?= constraints/py311-django52.txt
# Further words for pytest: make test PYTEST_ARGS="-k schedule"
PYTEST_ARGS ?=

# What opsched is measured against: programs of others, kept apart from what it installs; oban needs Python 3.12.
PEERS        ?= .venv-peers
PEERS_PYTHON ?=
export PEERS_PYTHON
# Further words for the benchmarks: make bench BENCH_ARGS="--quick --only floor,events"
BENCH_ARGS   ?=

PY    := $(VENV)/bin/python
STAMP := $(VENV)/.installed-$(notdir $(CONSTRAINTS))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults coverage check check-format check-lint check-types check-architecture check-migrations check-deploy \
        format screenshot bench bench-smoke peers clean distclean

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv and install everything

$(STAMP): $(CONSTRAINTS)
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "Python is missing: install Python 3.11 or later, or name one with 'make PYTHON=/path/to/python3 ...'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$("$(PYTHON)" -V 2>&1): opsched needs Python 3.11 or later; name one with 'make PYTHON=/path/to/python3 ...'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' >/dev/null 2>&1 || { \
	  echo "$(PYTHON) lacks the venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Installing packages into $(VENV) ..."
	@"$(PYTHON)" -m venv $(VENV)
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r $(CONSTRAINTS) || { \
	  echo "The packages could not be installed: see the message above (network, disk space?) and run make again." >&2; exit 1; }
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: $(STAMP) ## Everything at work in one terminal (PORT=8000)
	@exec $(PY) manage.py demo --port $(PORT)

test: $(STAMP) ## All tests
	@$(PY) -m pytest $(PYTEST_ARGS)

test-faults: $(STAMP) ## The long forms of the fault tests, two hours or more
	@$(PY) -m pytest -m faults $(PYTEST_ARGS)

coverage: $(STAMP) ## The pure core has no branch that no test takes
	@$(PY) -m pytest -q tests/jobs/core --cov=jobs/core --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

check: check-format check-lint check-types check-architecture check-migrations check-deploy ## Everything that can be said without running it

check-format: $(STAMP)
	$(VENV)/bin/ruff format --check .

check-lint: $(STAMP)
	$(VENV)/bin/ruff check .

check-types: $(STAMP)
	$(PY) -m mypy

check-architecture: $(STAMP)
	$(VENV)/bin/lint-imports

check-migrations: $(STAMP)
	$(PY) manage.py makemigrations --check --dry-run

check-deploy: $(STAMP)
	OPSCHED_ENV=production OPSCHED_HOSTS=ops.example.org $(PY) manage.py check --deploy --fail-level WARNING

format: $(STAMP) ## Bring the code into form
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

screenshot: $(STAMP) ## The README's picture of the operations page, made by its browser test
	@$(PY) -m pytest tests/browser -q -k picture --screenshot docs/operations.png

bench-smoke: $(STAMP) ## One minute of figures; the last line is JSON
	@$(PY) -m benchmarks.smoke

bench: $(STAMP) $(PEERS)/.installed ## Every figure beside its bar, into docs/performance.md (BENCH_ARGS="--quick")
	@$(PY) -m benchmarks.everything --peers $(PEERS)/bin/python $(BENCH_ARGS)

peers: $(PEERS)/.installed ## The programs that `make bench` measures against, in an environment of their own

$(PEERS)/.installed: benchmarks/requirements-peers.txt
	@command -v redis-server >/dev/null || { echo "redis-server is missing: install it (on Debian and Ubuntu: apt-get install redis-server)." >&2; exit 1; }
	@echo "Installing the peers into $(PEERS) ..."
	@python=$${PEERS_PYTHON:-$$("$(PYTHON)" benchmarks/peers/find_python.py)} && "$$python" -m venv $(PEERS) || { \
	  echo "The peers need Python 3.12 or later: name one with 'make PEERS_PYTHON=/path/to/python3 ...'." >&2; exit 1; }
	@$(PEERS)/bin/python -m pip install -qq --disable-pip-version-check -r benchmarks/requirements-peers.txt
	@touch $@

clean: ## Remove caches (keeps .venv and the data in var/)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Remove also .venv and all data in var/
	@rm -rf .venv .venv-* var
