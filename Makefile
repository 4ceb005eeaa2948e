# The two commands a newcomer needs are `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test mutants test-slow check bench bench-understand bench-zoo bench-published clean clean-bench help

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# torch first and by itself: the exact version of the constraints file, in its CPU build where the
# index offers one.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## install, train a VAE on real digits, look at what it learned
	$(BIN)/vaelab train vae --data digits --latent 2 --out demo/digits --overwrite
	$(BIN)/vaelab understand --data digits --out demo/understand --overwrite

test: $(STAMP)  ## the tests, on two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal

mutants: $(STAMP)  ## the share of small wrong changes that the tests notice, by room (an hour)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt mutmut
	$(BIN)/python benchmarks/mutants/run.py --page docs/guarantees.md

test-slow: $(STAMP)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

check: $(STAMP)  ## format, lint, types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: $(STAMP)  ## the measurements: −ELBO on MNIST, then speed beside its peers (an hour)
	$(BIN)/python benchmarks/mnist_elbo.py
	$(BIN)/python benchmarks/speed/run.py

bench-understand: $(STAMP)  ## what the page claims, on MNIST with three seeds
	$(BIN)/python benchmarks/understand.py

bench-zoo: $(STAMP)  ## every recipe on MNIST beside pythae's models (an hour; repeated, it goes on)
	$(BIN)/python benchmarks/zoo.py

bench-published: $(STAMP)  ## published likelihoods, trained and measured again (hours; repeated, it goes on)
	$(BIN)/python benchmarks/published.py

clean:  ## remove what is quickly made again; measurements in bench/ stay
	rm -rf demo .mypy_cache .pytest_cache .ruff_cache

clean-bench:  ## remove the measurements in bench/, which take hours
	rm -rf bench
