# Everything goes through `make setup`, which makes .venv from pyproject.toml and constraints.txt once.
#   make record                    the main job: three seeds, table, plots; without GPUs on embedded text, with the faithful
#                                  profile of that size beside ours
#   make serve                     the sweep service: a Ray head on this machine, API, page, a first key (recur up)
#   make test                      what a commit has to pass, in three lanes: tests that start a Ray (test-ray), beside all others
#                                  (test-rest), beside those that train (test-training) after what the service's suite does to the
#                                  reconciler without a Ray, at its smallest volume (test-service-gate)
#   make test-service              the service's whole suite at its quick volume, on real Ray heads too
#   make test-service-long         the same at full volume; goes on where it was interrupted (hours)
#   make service-packages          PostgreSQL, Chromium and a C compiler from Debian, where they are missing (needs root)
#   make test-faults               workers, drivers, nodes and heads of simulated clusters killed in every phase; corruptions, full
#                                  disks, research mode killed at random (half an hour)
#   make test-faults-long          the same five times; goes on where it was interrupted
#   make chaos ARGS="--minutes 60" faults at random on a simulated cluster
#   make bench                     every CPU bar against the reference's algorithm restated, with its threshold (docs/performance.md)
#   make bench-gpu                 the bars of one GPU likewise
#   make test-probes               planted violations and honest evaluations, 100 seeds each (long)
#   make test-record-folder        the shipped script in an environment with only its requirements.txt (long)
#   TORCH_INDEX=URL make setup     take torch from another index, e.g. https://download.pytorch.org/whl/cpu
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
TORCH_INDEX ?=
TORCH_SPEC := $(shell grep -E '^torch==' constraints.txt)
PYTEST = RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 $(PY) -m pytest
TRAINING := tests/recur/train tests/test_one_seed.py
ARGS ?=
REF ?= tests/golden
SEEDS ?= 100

.PHONY: setup record serve test test-ray test-training test-rest test-service-gate lane-short test-service test-service-long service-packages test-faults test-faults-long chaos bench bench-gpu test-probes test-record-folder check format conformance clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH_SPEC)
	$(PY) -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

record: setup
	$(PY) jobs/record.py --beside auto $(ARGS)

serve: setup
	$(PY) -m jobs.cli up $(ARGS)

test: setup service-packages
	$(MAKE) --no-print-directory -j3 --output-sync=target test-ray test-rest lane-short

lane-short: setup
	$(MAKE) --no-print-directory test-service-gate
	$(MAKE) --no-print-directory test-training

test-ray: setup
	$(PYTEST) -m "ray and not service" $(ARGS)

test-training: setup
	$(PYTEST) -m "not ray and not service" $(TRAINING) $(ARGS)

test-rest: setup
	$(PYTEST) -m "not ray and not service" $(TRAINING:%=--ignore=%) $(ARGS)

test-service-gate: setup service-packages
	RECUR_VOLUME=gate $(PYTEST) -m "service and not ray" tests/api/reconciler $(ARGS)

test-service: setup service-packages
	RECUR_REQUIRE_POSTGRES=1 $(PYTEST) -m service -n 2 --dist loadfile tests/api $(ARGS)

test-service-long: setup service-packages
	RECUR_VOLUME=long $(PY) -m tests.api.long $(ARGS)

test-faults: setup
	$(PYTEST) -s tests/faults $(ARGS)

test-faults-long: setup
	$(PY) -m tests.faults.long $(ARGS)

chaos: setup
	RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 $(PY) -m tests.chaos $(ARGS)

service-packages:
	command -v cc > /dev/null && test -x /usr/bin/chromium && ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium postgresql gcc libc6-dev > /dev/null; }

bench: setup
	$(PY) -m benchmarks $(ARGS)

bench-gpu: setup
	$(PY) -m benchmarks --gpu $(ARGS)

test-probes: setup
	OMP_NUM_THREADS=1 $(PY) -m tests.probes --seeds $(SEEDS) $(ARGS)

test-record-folder: setup
	$(PYTEST) tests/record_folder $(ARGS)

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

conformance: setup
	$(PY) -m tests.conformance $(REF) $(if $(TOKENIZERS),--tokenizers $(TOKENIZERS)) $(if $(DOCS),--docs $(DOCS)) $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
