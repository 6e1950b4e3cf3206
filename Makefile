# Every target sets up what it needs in .venv first; nothing but Python has to be there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench kodak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.ready-run ## encode, inspect and decode a sample, beside JPEG and WebP; picture in build/demo/
	$(BIN)/python -m vqc.tools.demo

test: $(VENV)/.ready-test ## run the tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.ready-test build/lint ## check style and the direction of imports
	$(BIN)/ruff check .
	PYTHONPATH=build/lint $(BIN)/lint-imports --no-cache

bench: $(VENV)/.ready-rd ## encode and decode times, beside compressai
	$(BIN)/vqc bench $(ARGS)

kodak: $(VENV)/.ready-rd ## rate-distortion table and plots on the images in KODAK=folder
	$(BIN)/vqc rd $(KODAK) --codecs vqc,jpeg,jpeg2000,webp,avif --title "Kodak, 24 pictures" --out build/kodak --force $(ARGS)

clean: ## remove what was built, .venv included
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-run: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) .
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready-run
	$(INSTALL) '.[test]'
	touch $@

$(VENV)/.ready-rd: $(VENV)/.ready-run
	$(INSTALL) '.[rd]'
	touch $@

# import-linter reads one folder per package and does not follow the folder mapping of pyproject.toml, so it
# is shown the package as installed: the same files, as links.
.PHONY: build/lint
build/lint:
	rm -rf $@ && mkdir -p $@/vqc
	ln -s $(CURDIR)/codec/* $(CURDIR)/bitstream $(CURDIR)/models $(CURDIR)/tools $@/vqc/
