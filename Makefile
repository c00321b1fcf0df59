# Everything starts here; `make` alone lists what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup tesseract demo test check ui serve lock clean

PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: tesseract $(READY) ## Install everything into .venv: once 8 GB and some minutes, then nothing.

demo: setup ## Index the samples, then search them.
	$(BIN)/mediadex index samples
	$(BIN)/mediadex search "mug of hot coffee" -k 3
	$(BIN)/mediadex search "return shoes that are too small" -k 3
	$(BIN)/mediadex status

test: setup ## Run all tests, a process a core.
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup ## Lint, check formats, types and layers, and load the definitions.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; touch "$$home/dagster.yaml"; \
	echo "$(BIN)/dagster definitions validate -w workspace.yaml"; \
	DAGSTER_HOME="$$home" $(BIN)/dagster definitions validate -w workspace.yaml

ui: setup ## Open the Dagster UI on port 3000.
	$(BIN)/mediadex ui

serve: setup ## Serve the search API and its page on port 8000.
	$(BIN)/mediadex serve

lock: setup ## Write requirements.lock anew from pyproject.toml, keeping versions that still fit.
	@$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --annotation-style line \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock

clean: ## Remove caches; .venv and every home stay.
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# pip's lines are too many and its wait too long: a count tells enough. Errors go past it.
define COUNTED
while read -r verb what _; do \
	case "$$verb" in \
	Collecting|Processing) n=$$((n + 1)); if ((n % 20 == 0)); then echo "  $$n of $$all, now $${what##*/}"; fi ;; \
	Installing) echo "  unpacking, for a minute or more" ;; \
	esac; \
done
endef

# Compat puts this folder itself on the path: with setuptools' import hook a folder named `assets`
# wherever a command happens to run would hide ours.
$(READY): requirements.lock pyproject.toml
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
		if ! $(PYTHON) -c 'import sys, ensurepip; assert sys.version_info[:2] == (3, 11)'; then \
			echo "Python 3.11 with venv is needed, but '$(PYTHON)' is not that. Install it" \
				"(Debian: apt-get install python3.11-venv) or name it: make setup PYTHON=..." >&2; \
			exit 1; \
		fi; \
		echo "Making .venv"; \
		$(PYTHON) -m venv --clear .venv; \
	fi
	@n=0 all=$$(grep -c == requirements.lock); \
	echo "Installing $$all packages into .venv"; \
	$(BIN)/pip install --progress-bar off -r requirements.lock | $(COUNTED)
	@echo "Installing mediadex itself"
	@$(BIN)/pip install --quiet --no-deps --editable . --config-settings editable_mode=compat
	@touch $@
	@echo "Ready: $(BIN)/mediadex --help"

tesseract:
	@if ! command -v tesseract >/dev/null; then \
		sudo=; if (($$(id -u) != 0)); then sudo=sudo; fi; \
		echo "Tesseract, which reads the text in pictures, is missing."; \
		if command -v apt-get >/dev/null && command -v $${sudo:-true} >/dev/null; then \
			echo "Installing it with $${sudo:+sudo }apt-get"; \
			$$sudo apt-get -q update && $$sudo apt-get -q install -y --no-install-recommends tesseract-ocr \
				|| true; \
		fi; \
		if ! command -v tesseract >/dev/null; then \
			echo "It could not be installed from here. Install it by hand, then make again:" >&2; \
			echo "  Debian, Ubuntu: sudo apt-get install tesseract-ocr" >&2; \
			echo "  Fedora: sudo dnf install tesseract    macOS: brew install tesseract" >&2; \
			exit 1; \
		fi; \
	fi
