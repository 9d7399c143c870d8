# make demo    set up, then the main job: open a real head and four phantoms in the panel, segment, save pictures
# make test    set up if needed, then style and the whole test suite
# make check   style and the tests that matter, meant to stay under 3 minutes on two idle cores
# make test-versions    the examples with the oldest promised and the newest releases of PyTorch and the helpers
# make screenshots    renew the pictures of the README from the demo

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# the tests start small processes: spinning OpenMP threads on a busy machine would cost more than they bring
export OMP_WAIT_POLICY = PASSIVE

# one file or more of each: pages, arrows, both forms of the network, files, pipeline, packages, runner, panel, training
CHECKED := $(addprefix Testing/engine/test_,$(addsuffix .py,documentation repository images windows fast veloxseg_parity plausibility \
	intensities suv findings cli)) $(addprefix Testing/training/test_,$(addsuffix .py,losses metrics lists schedule)) \
	$(addprefix Testing/Python/VeloxSegSlicer,$(addsuffix Test.py,Widget Run Results Protocol))

.PHONY: demo test check test-versions setup screenshots clean

demo: setup
	$(BIN)/python Testing/host/demo.py

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 -m "not slow" $(CHECKED)

test-versions:
	$(PYTHON) Testing/releases.py

screenshots: demo
	$(BIN)/python Testing/host/screenshots.py

setup: $(READY)

# torch goes first and alone: later lines then keep the build that was chosen here
$(READY): requirements.txt Testing/requirements.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	@echo "Setting up $(VENV), once: PyTorch and some 100 packages, all from the package index that pip is set up for."
	@echo "About 1 GB to download and 3 GB on disk with PyTorch for the CPU, 4 GB and 8 GB with CUDA, which is what pip takes"
	@echo "on Linux by default; 5 to 20 minutes. Free here: $$(df -h . | awk 'NR == 2 {print $$4}')."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install "$$(grep '^torch==' requirements.txt)"
	$(BIN)/python -m pip install -r requirements.txt -r Testing/requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:
	rm -rf $(VENV) .versions demo
