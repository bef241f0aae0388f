# Everything by name: `make help`.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
# A distribution's own Python is built with profile-guided optimisation; those that version managers build often are not.
PYTHON ?= $(shell for python in $(if $(VIRTUAL_ENV)$(CONDA_PREFIX),,/usr/bin/python3) python3; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; echo "$$python")
VENV := .venv
RUN := $(VENV)/bin
SHARED ?= ../shared
STAMP := $(VENV)/.installed

.PHONY: help run test setup lock lint types imports senders unit doctest integration format schemas config-docs clean \
        bench-exact bench-restore bench-ingest bench-shop bench-petshop bench-nab bench-detector bench-scale bench-sizes bench-otlp bench-limits bench-templates fuzz

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tocsin needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e . >/dev/null 2>$(VENV)/install.log || { cat $(VENV)/install.log >&2; exit 1; }
	@env -u PYTHONDONTWRITEBYTECODE $(RUN)/python -m compileall -q pipeline models # pip compiles the rest; up starts several processes
	@touch $@

setup: $(STAMP) ## install everything into .venv

run: $(STAMP) ## the main job with an embedded broker: a day of history, then the live shop; FOR=seconds ends by itself
	@$(RUN)/tocsin up $(if $(FOR),--for $(FOR)) $(ARGS)

test: $(STAMP) ## linters, types, import rules and every test, on the embedded broker and on Apache Kafka
	@PYTHON=$(PYTHON) bash .ci/test

lint: $(STAMP) ## ruff: format and rules
	@$(RUN)/ruff format --check . && $(RUN)/ruff check .

format: $(STAMP) ## let ruff mend what it can
	@$(RUN)/ruff format . && $(RUN)/ruff check --fix .

types: $(STAMP) ## mypy, strict
	@$(RUN)/mypy

imports: $(STAMP) ## who may know whom
	@$(RUN)/lint-imports

senders: $(STAMP) ## bring the real senders that tests start into the cache (docs/formats.md)
	@$(RUN)/python -m tests.senders.install

unit: $(STAMP) ## tests without a broker
	@$(RUN)/pytest -m "not embedded and not kafka"

doctest: $(STAMP) ## the examples in docstrings
	@$(RUN)/pytest --doctest-modules pipeline models

integration: $(STAMP) ## tests against both brokers
	@$(RUN)/pytest -m "embedded or kafka"

schemas: $(STAMP) ## write config/schemas and the AsyncAPI document from the contracts
	@$(RUN)/tocsin schemas write

config-docs: $(STAMP) ## write docs/configuration.md from the parameter classes
	@$(RUN)/python -c "from pathlib import Path; from pipeline.cli.config_docs import render; Path('docs/configuration.md').write_text(render())"

bench-exact: $(STAMP) ## exactness under kills: RUNS=n SEED=s BROKER=kafka|embedded INPUT=native|otlp [EVICT=1]
	@$(RUN)/python -m benchmarks.exact --runs $(or $(RUNS),3) --seed $(or $(SEED),1) --broker $(or $(BROKER),kafka) --input $(or $(INPUT),native) $(if $(EVICT),--evict)

bench-ingest: $(STAMP) ## throughput against raw aiokafka, Kafka Streams, Bytewax, Quix, stock Faust: MESSAGES=n ROUNDS=r READINGS=n [PARTS=race,end_to_end,close,memory or live]
	@$(RUN)/python -m benchmarks.ingest --peers $(SHARED)/peers --messages $(or $(MESSAGES),4000000) --rounds $(or $(ROUNDS),3) --readings $(or $(READINGS),10000000) $(if $(PARTS),--parts $(PARTS))

bench-shop: $(STAMP) ## the exam: DAYS=1 FAULTS=20 SEED=n [WORLD=m] [POISONED=1]; several as one: POOL="SEED-WORLD ..."
	@$(RUN)/python -m benchmarks.$(if $(POOL),shop_pool $(POOL),shop --seed $(or $(SEED),1) $(if $(WORLD),--world $(WORLD))) --shared $(SHARED) --days $(or $(DAYS),1) --faults $(or $(FAULTS),20) $(if $(POISONED),--poisoned)

bench-restore: $(STAMP) ## models after kills and rebalances equal those of a run without: RUNS=20 SEED=n BROKER_RUNS=2 BROKER=kafka|embedded
	@$(RUN)/python -m benchmarks.restore --runs $(or $(RUNS),20) --seed $(or $(SEED),1) --broker-runs $(or $(BROKER_RUNS),2) --broker $(or $(BROKER),kafka)

bench-petshop: $(STAMP) ## PetShop's issues: DATA=folder SPLIT=train
	@$(RUN)/python -m benchmarks.petshop --data $(or $(DATA),$(SHARED)/data/petshop) --split $(or $(SPLIT),train)

bench-scale: $(STAMP) ## two ingest workers against one on the same backlog: MESSAGES=n ROUNDS=n
	@$(RUN)/python -m benchmarks.scale --messages $(or $(MESSAGES),2000000) --rounds $(or $(ROUNDS),3)

bench-sizes: $(STAMP) ## memory a service, stage by stage: SERVICES="1000 5000"
	@$(RUN)/python -m benchmarks.sizes --services $(or $(SERVICES),1000 5000)

bench-otlp: $(STAMP) ## OTLP through the ingest step against protobuf's own parsing: SECONDS=n
	@$(RUN)/python -m benchmarks.otlp --seconds $(or $(SECONDS),5)

bench-limits: $(STAMP) ## within and over limits of names, and bounded decompression against aiokafka's
	@$(RUN)/python -m benchmarks.limits

bench-templates: $(STAMP) ## log templates: grouping accuracy, lines a second, delay until a new one is told: LINES=n HOURS=n SEED=n
	@$(RUN)/python -m benchmarks.templates --lines $(or $(LINES),100000) --hours $(or $(HOURS),24) --seed $(or $(SEED),1)

fuzz: $(STAMP) ## mutated messages for a decoder: DECODER=auto|native|otlp_metrics|... N=1000000 SEED=1
	@$(RUN)/python -m benchmarks.fuzz --decoder $(or $(DECODER),auto) --n $(or $(N),1000000) --seed $(or $(SEED),1)
bench-nab: $(STAMP) ## the Numenta benchmark: NAB=checkout [OUT=folder for result files] [PEERS=1]
	@$(RUN)/python -m benchmarks.nab --nab $(or $(NAB),$(SHARED)/data/nab) $(if $(OUT),--out $(OUT)) $(if $(PEERS),--peers)

bench-detector: $(STAMP) ## time and state of the detectors, beside river's HalfSpaceTrees
	@$(RUN)/python -m benchmarks.detector

clean: ## remove what was made
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

lock: $(STAMP) ## resolve dependencies anew: requirements.lock (all) and requirements-runtime.lock (the image)
	@$(RUN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --no-emit-index-url --generate-hashes -q -o requirements.lock
	@grep -E '^[a-z0-9-]+==' requirements.lock | sed 's/ \\$$//' > $(VENV)/pins.txt
	@$(RUN)/uv pip compile pyproject.toml --universal --python-version 3.11 --no-emit-index-url --no-annotate --generate-hashes -q -c $(VENV)/pins.txt -o requirements-runtime.lock
