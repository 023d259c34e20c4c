# Works with GNU make 3.81, the one that macOS has.
PYTHON ?= python3
LOGDIR ?= logs
VENV := .venv
BIN := $(VENV)/bin

# Values reach the shell through the environment, so quotes and $$ in them are safe.
override CHROMA := $(value CHROMA)
override COLLECTION := $(value COLLECTION)
override QUESTION := $(value QUESTION)
override ANSWER := $(value ANSWER)
override LOGDIR := $(value LOGDIR)
override RUN := $(value RUN)
export CHROMA COLLECTION QUESTION ANSWER LOGDIR RUN

.DEFAULT_GOAL := help
.PHONY: export tensorboard demo-site test test-lowest test-newest check reliability release release-check pins benchmark docs clean help

help: ## this list
	@echo 'make export        the demo: a collection of the Python reference, two questions'
	@echo 'make export CHROMA=chroma_db QUESTION="..." [COLLECTION=... ANSWER="..." LOGDIR=logs RUN=...]'
	@echo '                   your own collection (QUESTION without CHROMA asks the demo collection)'
	@echo 'make tensorboard   look at the runs in LOGDIR; ^C ends it'
	@echo 'make demo-site     a real website: python3-doc of Debian, crawled, asked a question'
	@echo 'make test          all tests     make check   formatting, types, import rules, docs'
	@echo 'make reliability   the tests of faults and of hostile input, each tried twenty times as often'
	@echo 'make test-lowest   the core tests with the lowest versions that setup.cfg allows; test-newest: the newest'
	@echo 'make release-check build, install alone, run, licences, vulnerabilities, format of a run'
	@echo 'make pins          the newest versions of everything into constraints.txt'
	@echo 'make benchmark     how long an export takes, beside other ways: half an hour'
	@echo 'make docs          write help texts into docs/ again'
	@echo 'make clean         remove .venv, demo/ and caches; runs stay'

export: $(VENV)/ready ## a collection and a question -> a run
	@if [ -n "$$CHROMA" ]; then \
	  set -- export "$$CHROMA" --overwrite $${COLLECTION:+--collection "$$COLLECTION"} $${RUN:+--run "$$RUN"}; \
	else \
	  set -- demo --no-serve; \
	fi; \
	exec $(BIN)/chroma-projector "$$@" $${LOGDIR:+--logdir "$$LOGDIR"} $${QUESTION:+--question "$$QUESTION"} $${ANSWER:+--answer "$$ANSWER"}

tensorboard: $(VENV)/ready ## serve the runs
	@exec $(BIN)/chroma-projector tensorboard $${LOGDIR:+"$$LOGDIR"}

demo-site: $(VENV)/ready ## a real website -> a collection -> a run
	@exec $(BIN)/python -m scripts.demo_site $${LOGDIR:+"$$LOGDIR"}

test: $(VENV)/ray ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/ready ## everything that needs no run
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check docs/*.md

reliability: $(VENV)/ready ## docs/reliability.md, tried more often
	FUZZ=20 $(BIN)/python -m pytest -n 2 --dist loadgroup tests/faults tests/hostile tests/sources/test_hnsw.py tests/sharing tests/end_to_end/test_killed.py

$(VENV)/ray: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	@touch $@

release: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'

release-check: release ## is this a release?
	$(BIN)/python -m scripts.release_check

test-lowest: release ## the lowest versions that setup.cfg allows
	$(BIN)/python -m scripts.versions lowest $(TESTS)

test-newest: release ## the newest versions that can be had
	$(BIN)/python -m scripts.versions newest $(if $(NEWEST),--python $(NEWEST)) $(TESTS)

pins: release ## constraints.txt anew
	$(BIN)/python -m scripts.versions pins

benchmark: $(VENV)/ready ## the table of docs/performance.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmark]'
	$(BIN)/python -m scripts.benchmark --pictures
	$(BIN)/python -m scripts.benchmark --asked

docs: $(VENV)/ready
	$(BIN)/cog -r docs/*.md

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/ready: setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...' >&2; exit 1; }
	@echo 'Installing into $(VENV), once: about 1 GB to download (PyTorch, TensorFlow, the model), 4 GB on disk;'
	@echo 'on Linux the usual PyTorch brings 3 GB of CUDA packages more.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	@touch $@
