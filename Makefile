# Everything the project can do, one target each; every target sets up .venv first if it is not there.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup lint test sanitise mutate docs demo bench evidence

BIN := .venv/bin
READY := .venv/.ready
DATA := $(if $(UPSTROKE_DATA),$(UPSTROKE_DATA),$(CURDIR)/../shared/data)

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with Python 3.11 or later and install everything into it

NATIVE := CMakeLists.txt $(wildcard native/*.h native/*.cpp)

# pip learnt --group in 25.1. torch goes first, so that the pinned build is there before anything asks for one. The kernels are
# built by what is in .venv rather than by a copy that pip throws away, so `cmake --build build/editable-*` builds them again.
# Without a compiler there are none; with one, what it refuses is an error. Where there is npm, it gives the validator of SARIF logs
# that one test asks, a program of its own.
$(READY): pyproject.toml constraints.txt $(NATIVE)
	@for python in python3.11 python3.12 python3.13 python3; do \
	  if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then break; fi; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "upstroke needs Python 3.11 or later with venv; none was found on PATH" >&2; exit 1; \
	fi; \
	[ -x $(BIN)/python ] || { echo "Making .venv with $$($$python --version)"; $$python -m venv .venv; }
	@echo "Installing into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --quiet -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --quiet -c constraints.txt \
	  --group native --group test --group lint --group docs --group mutate
	@for compiler in "$${CXX:-}" c++ g++ clang++; do \
	  if command -v "$$compiler" >/dev/null; then export UPSTROKE_REQUIRE_NATIVE=1; fi; \
	done; \
	[ -n "$${UPSTROKE_REQUIRE_NATIVE:-}" ] || rm -f src/upstroke/_native.*; \
	$(BIN)/python -m pip install --quiet --quiet -c constraints.txt --no-build-isolation -e '.[all]'
	@if command -v npm >/dev/null; then \
	  npm install --silent --no-audit --no-fund --prefix .venv/npm '@microsoft/sarif-multitool-linux@5.7.0' >/dev/null 2>&1 \
	    || echo "npm did not give the SARIF validator; its test will be skipped"; \
	fi
	@touch $@

lint: setup  ## format check, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# One process for each core, each with one thread; what measures time has the machine to itself.
# Byte code is kept, whatever the shell says: the second run and all processes that tests start read what the first compiled.
test: export OMP_NUM_THREADS := 1
test: export PYTHONDONTWRITEBYTECODE :=
test: setup  ## all tests and doctests
	$(BIN)/python -m pytest -n auto -m "not alone"
	$(BIN)/python -m pytest -m alone

# The kernels by themselves, without Python: the objects that were built for it, then with every address and shift checked.
sanitise: export PATH := $(CURDIR)/$(BIN):$(PATH)
sanitise: setup  ## the C++ tests of native/, also under the address and undefined-behaviour sanitisers
	@built=$$(ls -td build/editable-*/ | head -1); \
	cmake --build $$built --target test_kernels; \
	$${built}test_kernels
	cmake -S . -B build/sanitise -G Ninja -DUPSTROKE_MODULE=OFF -DUPSTROKE_SANITISE=ON
	cmake --build build/sanitise --target test_kernels
	build/sanitise/test_kernels

mutate: setup  ## change lines of polyphase, grid and diagnose on purpose; print the changes no test noticed
	@OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=fast UPSTROKE_DATA=$(DATA) $(BIN)/mutmut run
	@echo "Not killed (mutmut show NAME prints the change):"
	@$(BIN)/mutmut results

docs: setup  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

# Print a command as a reader would type it, then run it with .venv first on the path.
show = @printf '\n$$ %s\n' '$(strip $(1))'; PATH="$(CURDIR)/$(BIN):$$PATH"; $(1)

# The same for a check, whose exit code 1 says that there are findings: what a demonstration wants to show. A crash has that code
# too, but leaves no report.
check = @printf '\n$$ %s\n' '$(strip $(1))'; PATH="$(CURDIR)/$(BIN):$$PATH"; $(1) || [ $$? -eq 1 ]

demo: setup  ## check and fix a real model, inspect three layers and a picture, plan two nets, refine a sea, outline cells, generate flowers; reports and figures into demo/
	@mkdir -p demo && rm -f demo/report.html demo/fix.html
	$(call check,upstroke check "$$(python examples/text_detector.py)" --input 1x3x320x320)
	$(call check,upstroke check "$$(python examples/text_detector.py)" --input 1x3x320x320 --format html --output demo/report.html)
	@test -s demo/report.html
	$(call show,upstroke fix "$$(python examples/text_detector.py)" --input 1x3x320x320 --format html --report demo/fix.html --output demo/fixed.onnx --overwrite)
	@test -s demo/fix.html
	$(call show,upstroke inspect transposed --kernel 3 --stride 2 --padding 1 --output-padding 1 --plot demo/transposed-k3s2.svg --overwrite)
	$(call show,upstroke inspect resize --mode linear --scale 2 --plot demo/bilinear.svg --overwrite)
	$(call show,upstroke inspect shuffle --scale 2 --kernel 3 --padding 1 --plot demo/shuffle.svg --overwrite)
	$(call show,python examples/make_demo_picture.py demo/ --overwrite)
	$(call show,upstroke inspect image demo/checkerboard.png --period 2 --plot demo/image.svg --overwrite)
	$(call show,upstroke plan generator --from 4 --to 64 --kernel 4 --stride 2 --padding 1)
	$(call show,upstroke plan unet --size 572 --depth 4 --conv valid)
	$(call show,upstroke plan unet --size 97x131 --depth 4 --conv same)
	$(call show,upstroke downscale demo --out demo/downscale --overwrite)
	@test -s demo/downscale/report.html
	$(call show,upstroke segment demo --out demo/segment --overwrite)
	@test -s demo/segment/report.html
	$(call show,upstroke generate demo --out demo/generate --overwrite)
	@test -s demo/generate/report.html
	@printf '\nOpen in a browser: %s\n' "demo/report.html demo/fix.html demo/downscale/report.html demo/segment/report.html demo/generate/report.html demo/transposed-k3s2.svg demo/bilinear.svg demo/shuffle.svg demo/image.svg"
	@echo "The pictures measured: demo/photograph.png demo/checkerboard.png"
	@echo "The fields: demo/downscale/truth.nc demo/downscale/coarse.nc demo/downscale/fine.nc"

# BENCH='--only TEXT --quick' measures some rows; BENCH=--list prints their names
bench: setup  ## time everything against everybody, each checked first (some 40 minutes; goes on where it was ended)
	@$(BIN)/python -m pip install --quiet --quiet -c constraints.txt --group bench
	$(BIN)/python -m benchmarks.run $(BENCH)
	$(if $(BENCH),,$(BIN)/python -m benchmarks.fix)
	$(if $(BENCH),,$(BIN)/python -m benchmarks.downscale)

# EVIDENCE='--only TEXT' measures some rows; EVIDENCE=--list prints their names
evidence: setup  ## the training comparisons (some four hours on two cores; goes on where it was ended)
	UPSTROKE_DATA=$(DATA) $(BIN)/python -m evidence.downscale $(EVIDENCE)
	UPSTROKE_DATA=$(DATA) $(BIN)/python -m evidence.segment $(or $(EVIDENCE),--jobs 2)
	UPSTROKE_DATA=$(DATA) $(BIN)/python -m evidence.generate $(or $(EVIDENCE),--jobs 2)
