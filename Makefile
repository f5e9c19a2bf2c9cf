# Two commands do everything, each on its own: `make demo` and `make test`.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	{ echo $$p; break; }; done)
VENV := .venv
KERNELS := $(wildcard analyzer/kernels/src/*.rs)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml

.PHONY: demo test check lint types contracts unit oracle format reports docs lock kernels clean
.DELETE_ON_ERROR:

demo: $(VENV)/.run ## install into .venv and write the postmortem of the sample outage
	$(BIN)/analyze postmortem captures/outage -o reports/outage.html
	@echo
	@echo "The postmortem: $(CURDIR)/reports/outage.html"

test: $(VENV)/.dev ## every check: format, lint, types, layer contracts, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	TZ=UTC $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

oracle: $(VENV)/.dev ## compare every capture of public test suites beside the checkout with capinfos and tshark
	TZ=UTC $(BIN)/python -m tests.oracle

format: $(VENV)/.dev ## rewrite the code in the one style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reports: $(VENV)/.dev ## rewrite the committed results and the generated reference
	$(BIN)/python -m tests.rewrite

kernels: ## compile the inner loops of the readers (needs rustc); installing does it too
	$(PYTHON) analyzer/kernels/build.py

lock: $(VENV)/.dev ## lock the newest versions that pyproject.toml allows
	$(PIP) uv
	$(UV) --upgrade --group build -o requirements/run.lock
	$(UV) --upgrade --group build --group dev -o requirements/dev.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; on Debian and Ubuntu: apt-get install python3" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m virtualenv --quiet $(VENV) 2>/dev/null; } || \
		{ rm -rf $(VENV); echo "$(PYTHON) lacks venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: pyproject.toml requirements/run.lock $(KERNELS) | $(VENV)/bin/python
	@echo "Installing the locked versions"
	@$(PIP) --require-hashes -r requirements/run.lock
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.lock $(KERNELS) | $(VENV)/bin/python
	@echo "Installing the locked versions and the test tools"
	@$(PIP) --require-hashes -r requirements/dev.lock
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@ $(VENV)/.run
