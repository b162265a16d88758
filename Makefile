# The only list of commands. `make run` and `make test` set everything up by themselves.

PYTHON ?= python3
ARGS ?=
VENV := .venv/bin
OUT := .out
OFFSCREEN := QT_QPA_PLATFORM=offscreen

# Windows can be shown on macOS always, on Linux where X11 or Wayland says so.
ifeq ($(shell uname -s),Darwin)
DISPLAY_FOUND := yes
else
DISPLAY_FOUND := $(DISPLAY)$(WAYLAND_DISPLAY)
endif

.DEFAULT_GOAL := help
.PHONY: help bootstrap run test check fmt bench package test-package lock clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

bootstrap:  ## Create or update .venv (the other commands do it by themselves)
	@$(PYTHON) bootstrap.py

run: bootstrap  ## Open the window (ARGS="..." is handed on); without a display ask the demo one question
ifneq ($(DISPLAY_FOUND),)
	@$(VENV)/python -m app $(ARGS)
else ifneq ($(ARGS),)
	@$(OFFSCREEN) $(VENV)/python -m app $(ARGS)
else
	@mkdir -p $(OUT)
	@$(OFFSCREEN) $(VENV)/python -m app --demo-question "Why is the sea salty?" --screenshot $(OUT)/fathom.png
endif

test: bootstrap  ## Run every test, without a display, one process a core (ARGS="-k name", "-n 0")
	@$(OFFSCREEN) $(VENV)/python -m pytest -n logical $(ARGS)

check: bootstrap  ## Lint, formatting, types, borders between packages, spelling
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/mypy bootstrap.py
	$(VENV)/lint-imports
	$(VENV)/codespell

fmt: bootstrap  ## Format the code and repair what can be repaired
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

bench: bootstrap  ## Run the benchmarks (minutes; leave the machine alone meanwhile)
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(OFFSCREEN) $(VENV)/python "$$script" $(ARGS); done

# Its tools stay outside .venv. The same moment and hash seed in every build of a commit: two builds
# can be compared. A release is made in an environment of its own, with llama.cpp for Vulkan too.
TOOLS := build/package/tools
FROM := $(if $(RELEASE),build/release/bin,$(VENV))
FREEZE := PYTHONPATH=$(TOOLS) PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=$(or $(shell git log -1 --format=%ct 2>/dev/null),0) \
	$(FROM)/python -m PyInstaller --noconfirm --log-level WARN --distpath dist --workpath build/package/work

$(TOOLS)/finished: requirements/package.lock
	rm -rf $(TOOLS)
	$(VENV)/python -m pip install --quiet --require-hashes --no-deps --target $(TOOLS) -r $<
	touch $@

package: bootstrap $(TOOLS)/finished  ## Freeze everything into dist/fathom (ARGS=--without-demo, RELEASE=1: with Vulkan)
	$(if $(RELEASE),FATHOM_BACKEND=$(or $(FATHOM_BACKEND),vulkan) $(PYTHON) bootstrap.py --release build/release)
	$(FREEZE) build.spec -- $(ARGS)
	@$(VENV)/python -m app.packaging.sizes dist/fathom

test-package: bootstrap  ## Test the frozen program in dist/fathom (after make package)
	@$(OFFSCREEN) FATHOM_FROZEN=dist/fathom $(VENV)/python -m pytest -n logical tests/frozen $(ARGS)

UV := build/lock/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(ARGS)

lock:  ## Make the locks in requirements/ anew from pyproject.toml (ARGS=--upgrade for newer versions)
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --require-hashes --no-deps -r requirements/lock.lock
	$(COMPILE) pyproject.toml --no-emit-package llama-cpp-python -o requirements/app.lock
	$(COMPILE) --group dev -c requirements/app.lock -o requirements/dev.lock
	$(COMPILE) --group build -o requirements/build.lock
	$(COMPILE) --group lock -o requirements/lock.lock
	$(COMPILE) --group package -o requirements/package.lock
	$(COMPILE) --group cuda --no-deps -o requirements/cuda.lock
	$(COMPILE) --group engine --no-deps -o requirements/engine.lock
	$(COMPILE) --group demo --no-deps -o requirements/demo.lock

clean:  ## Remove .venv and everything built in the checkout (the wheel cache stays)
	rm -rf .venv build dist $(OUT) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find app models tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

deb:  ## Pack dist/fathom for Debian and Ubuntu (after make package; needs dpkg-dev)
	@SOURCE_DATE_EPOCH=$(or $(shell git log -1 --format=%ct 2>/dev/null),0) $(VENV)/python -m app.packaging.deb dist/fathom --out dist $(ARGS)
.PHONY: deb
