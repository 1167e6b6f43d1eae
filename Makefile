# Two commands do everything: `make book` and `make test`. README.md says how to do without make.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SOURCES := $(shell find book utils tools benchmarks/results _config.yml _toc.yml -type f -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*')
BUILT := _build/.built$(SOLUTIONS)
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg
# One thread for each worker: faster together, and one and two threads give different weights.
export OMP_NUM_THREADS := 1
export SOLUTIONS

.PHONY: help book serve lab test execute students format repository clean

help:
	@echo "make book                     set up, build the book, print its address (SOLUTIONS=1: with the solutions)"
	@echo "make serve                    serve the built book on this machine"
	@echo "make lab                      open the chapters in JupyterLab"
	@echo "make test [CHAPTER=pooling]   set up and test everything, or one chapter"
	@echo "make execute [CHAPTER=...]    run notebooks anew and store their outputs"
	@echo "make students                 make the exercise notebooks anew from the solutions"
	@echo "make format                   format the code"
	@echo "make repository URL=...       write the repository's address wherever it is needed"
	@echo "make clean                    remove the built book (and .venv: rm -r .venv)"

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("The book needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BUILT): $(READY) $(SOURCES)
	@rm -f _build/.built*
	$(BIN)/python -m tools.build
	@touch $@

book: $(BUILT)
	@$(BIN)/python -c 'import pathlib; print("Start page:", pathlib.Path("_build/html/index.html").resolve().as_uri())'

serve: book
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

lab: $(READY)
	env -u OMP_NUM_THREADS $(BIN)/jupyter lab book

test: $(BUILT)
	$(BIN)/python -m tools.chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
ifdef CHAPTER
	@$(BIN)/python -c 'from tools import notebooks; notebooks.select("$(CHAPTER)")'
	$(BIN)/python -m pytest -n auto --dist loadfile $(NBVAL) -k "$(CHAPTER)" tests book
else
	$(BIN)/python -m pytest -n auto --dist loadfile $(NBVAL) tests book
endif

execute: $(READY)
	$(BIN)/python -m tools.execute $(CHAPTER)

students: $(READY)
	$(BIN)/python -m tools.students

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

repository: $(READY)
	$(BIN)/python -m tools.repository "$(URL)"

clean:
	rm -rf _build
