# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
export OMP_NUM_THREADS ?= $(shell nproc)
# Of the benchmarks' types only names and calls are checked: no function of the library is called as it no longer is.
LOOSE := operator misc arg-type return-value no-untyped-def var-annotated call-overload type-var

.PHONY: demo test check slow bench docs clean

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.14.1 torchvision==0.29.1
	$(BIN)/python -m pip install --quiet --editable '.[dev,trackers,export,app]'
	touch $@

demo: .venv/installed  ## train four encoders on painted digits, audit them, write a page
	for method in untrained simclr dcodr-norec dcodr; do \
	  $(BIN)/unbraid train $$method --data digits --out $(DEMO)/$$method || exit 1; \
	done
	$(BIN)/unbraid audit $(DEMO)
	$(BIN)/unbraid report $(DEMO) --out report.html

test: .venv/installed  ## the fast tests
	$(BIN)/pytest

check: .venv/installed  ## what a change must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell unbraid tests benchmarks examples *.md docs
	$(BIN)/mypy
	$(BIN)/mypy benchmarks $(addprefix --disable-error-code=,$(LOOSE))
	$(BIN)/lint-imports --no-logo
	$(MAKE) test

slow: .venv/installed  ## tests that train for minutes, or start a cluster on this machine
	$(BIN)/python -m pip install --quiet --editable '.[cluster]'
	$(BIN)/pytest -m slow

bench: .venv/installed  ## speed, as ratios inside one run
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/dcodr.py
	$(BIN)/python benchmarks/views.py
	$(BIN)/python benchmarks/scores.py
	$(BIN)/python benchmarks/debias.py
	$(BIN)/python benchmarks/ip_irm.py
	$(BIN)/python benchmarks/vae.py
	$(BIN)/python benchmarks/populations.py

clean:
	rm -rf .venv runs/demo report.html

docs: .venv/installed  ## the pages of docs/ as a site in site/
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build
