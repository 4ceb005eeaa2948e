# The two commands a newcomer needs are `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev

.PHONY: demo docs test mutants test-slow test-faults fuzz check bench bench-understand bench-zoo bench-published clean clean-bench help

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# tools/install.py shows the progress of pip; the demo needs no development tools.
$(STAMP): pyproject.toml constraints.txt tools/install.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python tools/install.py
	@touch $@

$(DEV): $(STAMP)
	@$(BIN)/python tools/install.py dev docs tables explore
	@touch $@

demo: $(STAMP)  ## install, show a first picture within a minute, then make the page that explains VAEs
	@echo "1 of 2: a VAE on real digits; the first picture takes less than a minute" >&2
	@$(BIN)/vaelab train vae --data digits --latent 2 --epochs 80 --out demo/digits --overwrite
	@printf '\nThe first picture: demo/digits/manifold.png\n\n'
	@echo "2 of 2: the page, of eight models; some minutes" >&2
	@$(BIN)/vaelab understand --data digits --out demo/understand --overwrite
	@printf '\nOpen     demo/understand/index.html\nLook at  demo/digits/*.png\n'
	@printf 'Then     $(BIN)/vaelab sample demo/digits -n 64 --out demo/samples.png\n'
	@printf '         $(BIN)/vaelab doctor demo/digits\n'
	@printf 'For vaelab without a path:  . $(BIN)/activate\n'

test: $(DEV)  ## the tests, on two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal

mutants: $(DEV)  ## the share of small wrong changes that the tests notice, by room (an hour)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt mutmut
	$(BIN)/python benchmarks/mutants/run.py --page docs/guarantees.md

test-slow: $(DEV)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-faults: $(DEV)  ## trainings killed at random instants must come to the same run, byte by byte (minutes)
	$(BIN)/python benchmarks/reliability.py --page docs/reliability.md

fuzz: $(DEV)  ## damaged files for every reader: each is read, or refused with a message (an hour)
	$(BIN)/python benchmarks/fuzz.py --keep build/fuzz

check: $(DEV)  ## format, lint, language of docstrings, types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/python scripts/language.py
	$(BIN)/mypy

bench: $(DEV)  ## the measurements: −ELBO on MNIST, then speed beside its peers (an hour)
	$(BIN)/python benchmarks/mnist_elbo.py
	$(BIN)/python benchmarks/speed/run.py

bench-understand: $(DEV)  ## what the page claims, on MNIST with three seeds
	$(BIN)/python benchmarks/understand.py

bench-zoo: $(DEV)  ## every recipe on MNIST beside pythae's models (an hour; repeated, it goes on)
	$(BIN)/python benchmarks/zoo.py

bench-published: $(DEV)  ## published likelihoods, trained and measured again (hours; repeated, it goes on)
	$(BIN)/python benchmarks/published.py

docs: $(DEV)  ## the site of the documentation, in build/site; a warning is an error
	$(BIN)/python tools/docs.py

clean:  ## remove what is quickly made again; measurements in bench/ stay
	rm -rf demo build .mypy_cache .pytest_cache .ruff_cache

clean-bench:  ## remove the measurements in bench/, which take hours
	rm -rf bench
