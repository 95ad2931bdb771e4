# make book    build the book, notebooks executed          make serve   build, then serve it on http://localhost:8000
# make pdf     the whole book as _build/mixlearn.pdf       make notebooks  with their outputs, in _build/notebooks
# make test    everything that CI runs                     make lint    format, lint, types
# make results print the table of the run records
# make address write the repository's address, set in _config.yml, into the files that must repeat it
# make clean   remove what was built (the virtual environment stays; make distclean removes it too)
#
# Each target makes what it needs. PYTHON=python3.12 chooses another interpreter, PORT=9000 another port.

PYTHON ?= python3
PORT   ?= 8000
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Two busy processes on few cores: without this, OpenMP's spinning threads slow torch ten-fold and more.
export OMP_WAIT_POLICY := PASSIVE
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export JUPYTER_PLATFORM_DIRS := 1

.PHONY: help book pdf notebooks serve test lint unit browser-tests js-tests results address screenshot clean distclean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:
	@sed -n 's/^# //p' Makefile | head -7

# ---------------------------------------------------------------------------------------- environment
$(READY): requirements.txt pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "the pinned versions need Python 3.11 or newer, this is %d.%d; choose one with PYTHON=…" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# ---------------------------------------------------------------------------------------- the book
book: $(READY)
	@$(BIN)/python book/_tools/build_book.py

pdf: book
	@$(BIN)/python tests/browser/chromium.py --install
	@$(BIN)/python book/_tools/pdf.py

notebooks: book
	@$(BIN)/python book/_tools/notebooks.py

serve: book
	@echo "http://localhost:$(PORT)/  (Ctrl-C ends it)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

results: $(READY)
	@$(BIN)/python book/_tools/results.py

address: $(READY)
	@$(BIN)/python book/_tools/address.py

screenshot: book
	@$(BIN)/python book/_tools/screenshot.py

# ---------------------------------------------------------------------------------------- checks
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile --durations 40 --ignore tests/browser

browser-tests: book
	@$(BIN)/python tests/browser/chromium.py --install
	$(BIN)/pytest -q -n 2 --dist loadgroup tests/browser

test: lint unit book browser-tests
	@echo "everything passed"

# ---------------------------------------------------------------------------------------- tidying
clean:
	rm -rf _build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
