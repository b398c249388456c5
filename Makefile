# Everything that a new user or CI needs. torch comes first and by itself, since its index decides between CPU and CUDA:
# on a machine where the plain index brings CUDA packages, name PyTorch's CPU index in TORCH_INDEX (see the README).
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
BIN := $(VENV)/bin

.PHONY: install demo test test-slow lint types imports format lock clean

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

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

clean:
	rm -rf $(VENV) build dist
