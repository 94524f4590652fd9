# `make run` and `make test` need Python 3.11 and make; each first brings the environment up to date.
# pip's own variables (PIP_INDEX_URL, PIP_FIND_LINKS, ...) say where packages come from.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: run test test-faults test-slurm lint rehearse-all clean help

ENVIRONMENT := .venv
BIN := $(ENVIRONMENT)/bin
RECENT_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3; do \
  $$name -c '$(RECENT_ENOUGH)' 2>/dev/null && echo $$name && exit; done; echo python3)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

run: $(ENVIRONMENT)/.installed ## fine-tune the built-in starter on a CPU; the last line is the path of its report
	@folder="runs/starter-$$(date +%Y%m%d-%H%M%S)" \
	&& $(BIN)/finesight run --output "$$folder" && ls "$$folder/report.html"

test: lint ## everything that has to hold: lint, then the tests
	@cache="$$(mktemp -d)" && trap 'rm -rf "$$cache"' EXIT \
	&& FINESIGHT_CACHE="$$cache" HF_HUB_OFFLINE=1 PYTHONHASHSEED=0 OMP_NUM_THREADS=1 \
	$(BIN)/python -m pytest -q --numprocesses auto --dist worksteal

test-faults: $(ENVIRONMENT)/.installed-dev ## killed, full disks, damaged files, two at once: runs that must survive it
	@cache="$$(mktemp -d)" && trap 'rm -rf "$$cache"' EXIT \
	&& FINESIGHT_CACHE="$$cache" HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m 'faults or not faults' tests/run/faults

test-slurm: $(ENVIRONMENT)/.installed-dev ## jobs in a SLURM of their own on this machine; as root on Debian it is installed first
	@PATH="$$PATH:/usr/sbin"; { command -v slurmctld && command -v munged; } >/dev/null \
	|| apt-get install --yes slurm-wlm munge || echo "SLURM cannot be installed here: its tests are skipped" >&2
	@HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m slurm tests/slurm

lint: $(ENVIRONMENT)/.installed-dev ## style, types and floors: ruff, mypy, import-linter
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

rehearse-all: $(ENVIRONMENT)/.installed-dev ## every built-in recipe in miniature, and how long each takes
	@$(BIN)/python tools/rehearse_all.py

clean: ## remove the environment and what the tools keep; runs stay
	rm -rf $(ENVIRONMENT) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is written last, so the next call takes up an installation that was interrupted.
$(ENVIRONMENT)/.installed: pyproject.toml constraints.txt
	@$(make_environment)
	@$(call install,.)
	@touch $@

$(ENVIRONMENT)/.installed-dev: pyproject.toml constraints.txt
	@$(make_environment)
	@$(call install,.[dev])
	@touch $(ENVIRONMENT)/.installed $@

define make_environment
$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
  "$(PYTHON)" -c '$(RECENT_ENOUGH)' 2>/dev/null || { \
    echo "finesight needs Python 3.11 or newer; $(PYTHON) is: $$("$(PYTHON)" --version 2>&1)" >&2; \
    echo "hint: install Python 3.11, or name the one to use: make run PYTHON=/path/to/python3.11" >&2; \
    exit 2; }; \
  "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
    echo "$(PYTHON) cannot make an environment: it lacks the modules venv and ensurepip" >&2; \
    echo "hint: on Debian and Ubuntu they come with apt install python3-venv" >&2; \
    exit 2; }; \
  echo "Making $(ENVIRONMENT)" >&2; \
  "$(PYTHON)" -m venv --clear $(ENVIRONMENT); }
endef

define install
echo "Installing 1 of 2: torch, the largest" >&2 \
&& $(PIP) install --constraint constraints.txt torch \
&& echo "Installing 2 of 2: finesight and all else that it uses" >&2 \
&& $(PIP) install --constraint constraints.txt --editable '$(1)'
endef
