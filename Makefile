# make demo       a scaling study from nothing, in minutes
# make test       lint, types of the package, tests and the examples in the docstrings
# make test-all   the same, types of all files, and the tests marked slow
# make site       the documentation, into site/: warnings are errors, links are checked
# make picture    the pictures of reports in the documentation, after make demo and make gallery
# make dist       sdist and wheel, each extra of the wheel tried in an empty environment
# All targets install what they need into .venv; the second time that is quick. The demo needs the least.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := $(VENV)/.demo
WORKERS ?= auto
# pip compiles modules one after another; this by all cores, and leaves out the tests of packages.
QUIETLY := --quiet --disable-pip-version-check --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true  # some are for other versions

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder \
	--doctest-modules tests src/sonoscale

.PHONY: demo test test-all lint types types-all tests tests-all format bench docs site dist gallery picture clean

demo: $(DEMO)
	$(BIN)/sonoscale study run studies/quickstart.yaml

# The types are checked, by one process, while the tests run.
test: lint
	$(MAKE) --no-print-directory -j2 types tests

test-all: lint
	$(MAKE) --no-print-directory -j2 types-all tests-all

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python src

types-all: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

tests: $(STAMP)
	$(PYTEST)

tests-all: $(STAMP)
	$(PYTEST) -m ''

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/python benchmarks/rank_variants.py
	$(BIN)/python benchmarks/flops.py
	$(BIN)/python benchmarks/forms.py
	$(BIN)/python docs/api.py
	$(BIN)/python docs/ledger.py

site: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs site

dist: $(STAMP)
	$(BIN)/python release/check_dist.py

bench: $(STAMP)
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/rank.py
	$(BIN)/python benchmarks/monitor.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/measure.py
	$(BIN)/python benchmarks/pretrain.py
	$(BIN)/python benchmarks/probe.py
	$(BIN)/python benchmarks/laws.py

# The studies of the gallery in the documentation: a grid of objectives, and one of three axes.
gallery: demo
	$(BIN)/sonoscale study run studies/gallery/objectives.yaml
	$(BIN)/sonoscale study run studies/gallery/three-axes.yaml

# The pictures of reports in the documentation, and the ledgers that they come from; NAMES=quickstart: of that alone.
picture: $(STAMP)
	$(BIN)/python docs/pictures.py $(NAMES)

clean:
	rm -rf $(VENV) dist results site docs/reference docs/project .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Sonoscale needs Python 3.11 or later; set PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(DEMO): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e '.[train,report,procedural]'
	$(COMPILE)
	touch $@

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e '.[all,dev]'
	# What ranks are compared with in the tests. Without what they ask for: they would bring torchvision.
	$(BIN)/python -m pip install $(QUIETLY) --no-deps \
		reptrix==0.1.0 monai==1.6.1 lightly==1.6.0
	$(COMPILE)
	touch $@
