# Two commands matter: `make demo` and `make test`. Both start from a clean clone.
#
# Installations leave a stamp inside .venv, so they are repeated only when pyproject.toml changes,
# and a removed or moved environment takes its stamps with it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Byte code is left to the first import, which wants a third of the files: compiling all of them was
# half of an installation. So it has to be kept, whatever the environment says.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile
unexport PYTHONDONTWRITEBYTECODE
WORKERS ?= 2
TORCH := torch==2.13.0
# The benchmark's peers have an environment of their own. torch must be there; the others where
# they run: what does not install is reported as such and the rest is measured.
PEERS := .venv-bench
OPTIONAL := 'jax>=0.4.30' tensorflow-cpu keras lightning 'mlx[cpu]' tinygrad

.PHONY: help demo test lint types imports format unit parity fuzz einops leaks memory mistakes large models page crash bench clean

help:
	@echo "make demo    install, then train a network on real handwritten digits"
	@echo "make test    install, then all tests with lint, import contracts and types beside them"
	@echo "make lint    ruff, import contracts and mypy only"
	@echo "make unit    the tests only (ARGS='-k conv' goes to pytest)"
	@echo "make parity  every sample of PyTorch's operator database, with a table of counts"
	@echo "make fuzz    random expression graphs (ARGS='--seed 1 --count 100000 -j 2'); goes on where it was"
	@echo "make einops  einops' own test suite with our backend"
	@echo "make leaks   memory over many calls of every public function (ARGS='--calls 100000')"
	@echo "make memory  memory over 10,000 steps of fit and 100,000 predictions (ARGS='--steps 100000')"
	@echo "make mistakes  typical mistakes with every public function"
	@echo "make large   arrays of more than 2^31 elements"
	@echo "make models  every model at its real size beside PyTorch's (ARGS='--only resnet* --steps 10')"
	@echo "make page  pictures of TensorBoard showing our logs (needs chromium)"
	@echo "make crash   trainings killed at random steps and resumed (ARGS='--case workers --count 20')"
	@echo "make format  rewrite the sources as ruff wants them"
	@echo "make bench   side by side with the peers (ARGS='--only gemm --threads 1')"
	@echo "make clean   remove the environment and everything generated"

demo: $(VENV)/.demo
	$(BIN)/ambos demo

# mypy keeps one core busy while the tests begin on both.
test: $(VENV)/.test
	@$(MAKE) --no-print-directory -j 2 lint unit

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: $(VENV)/.test
	$(BIN)/pytest -q -n $(WORKERS) $(ARGS)

parity: $(VENV)/.test
	$(BIN)/python -m tests.parity -j $(WORKERS) --write runs/parity.md $(ARGS)

fuzz: $(VENV)/.test
	AMBOS_THREADS=1 AMBOS_CACHE=runs/fuzz-cache $(BIN)/python -m tests.fuzz $(ARGS)

einops: $(VENV)/.test
	$(BIN)/python -m tests.interop.einops_suite -q -rs $(ARGS)

leaks: $(VENV)/.test
	$(BIN)/python -m tests.public.leaks $(ARGS)

memory: $(VENV)/.test
	$(BIN)/python -m tests.train.memory $(ARGS)

mistakes: $(VENV)/.test
	$(BIN)/python -m tests.public.mistakes
	$(BIN)/python -m tests.public.layers

large: $(VENV)/.test
	$(BIN)/pytest -q -m large tests/tensor/test_large.py

models: $(VENV)/.test
	$(BIN)/python -m tests.models $(ARGS)

page: $(VENV)/.test
	$(BIN)/python -m tests.viz.page $(ARGS)

crash: $(VENV)/.test
	$(BIN)/python -m tests.train.crash $(ARGS)

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(PEERS)/.bench
	$(PEERS)/bin/python -m bench $(ARGS)

# An environment that already works is kept; a broken or half-made one is made anew.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "ambos needs Python 3.11 or newer: none found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ambos needs Python 3.11 or newer; $(PYTHON) is older: make PYTHON=..." >&2; exit 1; }
	@$(BIN)/python -c 'import pip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null \
	  || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(PIP) -q -e '.[train]'
	@touch $@

# torch goes first and by this exact pin: a loose resolution could choose a CUDA build.
$(VENV)/.torch: $(VENV)/.made
	$(PIP) -q $(TORCH)
	@touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) -q -e '.[test,dev]'
	@touch $@ $(VENV)/.demo

$(PEERS)/.bench: pyproject.toml
	$(MAKE) VENV=$(PEERS) $(PEERS)/.torch
	$(PEERS)/bin/python -m pip --disable-pip-version-check install -q -e '.[train,bench]'
	@for peer in $(OPTIONAL); do \
	  $(PEERS)/bin/python -m pip --disable-pip-version-check install -q "$$peer" \
	    || echo "$$peer does not install here; the benchmark goes without it"; done
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
