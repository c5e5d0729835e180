PYTHON ?= python
DATA ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help install check test format bench face

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## the package, editable, with what developers need
	$(PYTHON) -m pip install -c constraints.txt -e '.[dev]'

check: ## format, lint, types and tests; what CI runs
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest

test: ## tests that are not slow
	$(PYTHON) -m pytest -m 'not slow'

format: ## format the code and mend what the linter can
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

bench: ## every benchmark; each prints its claim and a ratio
	@for script in $(basename $(notdir $(wildcard benchmarks/photo_*.py benchmarks/inpaint_*.py benchmarks/upscale.py))); do echo "== $$script"; $(PYTHON) -m benchmarks.$$script || exit 1; done

face: ## learn the bundled dictionary of faces again
	nid learn-dict --preset face --data $(DATA)/faces -o nidcli/dictionaries/face.nid --overwrite
