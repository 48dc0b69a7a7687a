# Everything that is done to vipx by hand or in CI. `make` alone lists it.
#
# Needs python3 (3.10 to 3.13, with venv and pip) and make. The environments are made once, and again when
# pyproject.toml or constraints.txt change; what was added to them by hand stays until `make clean`.

PYTHON ?= python3
UV := .venv-tools/bin/uv
DEV := .venv/made
DEMO := .venv-demo/made
BIN := .venv/bin
# Two processes, each with the tests of whole files and one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
INSTALL := $(UV) pip install --quiet --constraints constraints.txt --build-constraints constraints.txt

export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-gpu check check-format check-lint check-types check-layers \
	format demo-model bench constraints clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: $(DEMO) ## inspect the built-in demo images, in an environment of their own without torch
	@mkdir -p out
	.venv-demo/bin/vipx demo --output out/vipx-demo.html

test: test-quick ## every test that needs no GPU
	$(PYTEST) -m "slow and not gpu"

check: check-format check-lint check-types check-layers test-quick ## format, lint, types, layers, quick tests

check-format: $(DEV)
	$(BIN)/ruff format --check .

check-lint: $(DEV)
	$(BIN)/ruff check .

check-types: $(DEV)
	$(BIN)/mypy

check-layers: $(DEV)
	$(BIN)/lint-imports

test-quick: $(DEV) ## the tests of a few seconds each or less
	$(PYTEST) -m "not slow and not gpu"

test-gpu: $(DEV) ## the tests that need an NVIDIA GPU
	$(BIN)/python -m pytest -m gpu

format: $(DEV) ## format the code, and repair what the linter can
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

demo-model: $(DEV) ## train the model of `vipx demo` again, and export it into the package (docs/demo-model.md)
	$(BIN)/python -m vipx.training.demo --out out/demo-model
	$(BIN)/vipx export out/demo-model/demo.ckpt --backbone-weights out/demo-model/backbone.safetensors \
		--overwrite --output vipx/demo/bundle.vipx
	mkdir -p vipx/demo/weights && cp -R out/demo-model/backbone.safetensors out/demo-model/demo.ckpt vipx/demo/weights

bench: $(DEV) ## list the benchmarks; NAME=one runs it, ARGS="..." go to it
ifdef NAME
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)
else
	@for file in $(wildcard benchmarks/[a-z]*.py); do \
		printf '  make bench NAME=%-16s %s\n' "$$(basename $$file .py)" "$$(sed -n '1s/"""//gp' $$file)"; done
endif

constraints: $(UV) ## pin the dependencies again; ARGS=--upgrade moves the pins to the newest versions
	$(UV) pip compile --quiet --universal --python-version 3.10 --extra cpu --extra dev --no-annotate \
		--no-emit-index-url --custom-compile-command "make constraints" $(ARGS) \
		--output-file constraints.txt pyproject.toml

clean: ## remove the environments, caches and everything else that was made here
	rm -rf .venv .venv-demo .venv-tools build dist htmlcov .coverage .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache *.egg-info out/vipx-demo.html
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .git -prune -o -name '*.partial-*' -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "vipx needs Python 3.10 to 3.13, and $(PYTHON) is not: name another, as in make PYTHON=python3.12" >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

# uv, because it links files from its cache: the 5 GB that torch brings are written once per machine.
$(DEV): pyproject.toml constraints.txt | $(UV)
	@test -x .venv/bin/python || $(UV) venv --quiet --python .venv-tools/bin/python .venv
	$(INSTALL) --python .venv --editable '.[dev]'
	@touch $@

$(DEMO): pyproject.toml constraints.txt | $(UV)
	@test -x .venv-demo/bin/python || $(UV) venv --quiet --python .venv-tools/bin/python .venv-demo
	$(INSTALL) --python .venv-demo --editable '.[cpu]'
	@touch $@
