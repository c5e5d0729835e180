PYTHON ?= python
DATA ?= ../shared/data

BENCHES = $(filter-out ct_common,$(basename $(notdir $(wildcard $(addprefix benchmarks/,photo_*.py inpaint_*.py upscale.py ct_*.py surfaces.py video_masks.py)))))

.DEFAULT_GOAL := help
.PHONY: help install check test format bench face chair phantom

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
	@for script in $(BENCHES); do echo "== $$script"; $(PYTHON) -m benchmarks.$$script || exit 1; done

face: ## learn the bundled dictionary of faces again
	nid learn-dict --preset face --data $(DATA)/faces -o nidcli/dictionaries/face.nid --overwrite

chair: ## learn the bundled dictionary of chairs again
	$(PYTHON) -m benchmarks.chairs | nid learn-dict --preset chair --files-from - -o nidcli/dictionaries/chair.nid --overwrite

phantom: ## learn the bundled dictionary of random heads again
	nid learn-dict --preset phantom --data $(DATA)/ct/phantoms/train.npz -o nidcli/dictionaries/phantom.nid --overwrite
