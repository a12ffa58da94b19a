# Everything runs in .venv, which the pinned files make; nothing else is needed but Python 3.11, pip and make.

PYTHON ?= python3.11
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := enhancer plugins dags demo benchmarks tests
WORKFLOWS := $(wildcard .github/workflows/*.yml)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-desktop up train-gpu test lint types contracts unit test-chaos bench-parse fuzz bench-rate bench-encode bench-stages bench-tone bench-clean bench-kinds bench-drawings bench-sr bench-real bench-lowlight bench-joint bench-colour bench-scratch bench-artifacts bench-jpeg bench-denoise bench-chaos bench-big bench-scale bench-speed-net bench-speed-4k bench-speed-batch bench-speed-airflow bench-hardware-table bench-gpu dist image format clean

help: ## what each target does
	@sed -nE 's/^([a-z0-9%-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | sort | while IFS="$$(printf '\t')" read -r n d; do printf '  make %-21s %s\n' "$$n" "$$d"; done

setup: $(STAMP) ## install into .venv what the pinned files say

# pip compiles nothing to bytecode at install: Python does it on first import, and the set-up is a minute shorter.
$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## the nightly run on real pictures: PostgreSQL, S3 and Airflow on this machine, results in demo-output/
	$(BIN)/python -m demo

demo-desktop: $(STAMP) ## the desktop application on the demo's pictures (docs/desktop.md)
	$(BIN)/python -m demo.desktop

up: $(STAMP) ## the same, and the services stay up until Ctrl-C; prints the UI's address and login
	$(BIN)/python -m demo --stay

test: lint types contracts unit ## lint, types, import contracts and all tests, with coverage

lint: $(STAMP) ## ruff: rules and format; the workflow files against their schema and for security
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/zizmor --offline --quiet --persona pedantic $(WORKFLOWS)

types: $(STAMP) ## mypy, strict for enhancer/ and the UI page
	$(BIN)/mypy

contracts: $(STAMP) ## import-linter: rooms import downwards only
	$(BIN)/lint-imports

# One thread per process of pytest-xdist: with more, those of two wait for each other, a third of all processor time.
# Random order, whose seed the first lines print: TESTS="-p randomly --randomly-seed=N" repeats one.
unit: $(STAMP) ## all tests, in random order; servers start on free loopback ports
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	    $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term --cov-report=xml $(TESTS)

dist: $(STAMP) ## wheel and sdist in dist/: checked, installed into an empty environment, and used on a picture there
	rm -rf dist build
	$(BIN)/python -m build --no-isolation --outdir dist
	rm -rf build *.egg-info  # metadata beside the sources would be a second plugin to Airflow
	$(BIN)/twine check --strict dist/*
	.ci/check-wheel dist/*.whl

DEVICE ?= cpu
image: ## DEVICE=cpu or gpu: the container image; CONTAINERS=podman or buildah for another builder
	$(or $(CONTAINERS),docker) build -f docker/Dockerfile --build-arg DEVICE=$(DEVICE) -t airflow-image-enhancer:$(DEVICE) .

test-chaos: $(STAMP) ## SIGKILL at every named point, faults of store and disk: the proofs too long for every day
	$(BIN)/python -m pytest -m chaos

bench-parse: $(STAMP) ## what reading the DAG file costs beyond Airflow
	$(BIN)/python -m benchmarks.dag_parse

COUNT ?= 2000
SEED ?= 1
fuzz: $(STAMP) ## COUNT=N SEED=S: mutated files of all formats through the worker and its supervisor; at most 4 hours
	$(BIN)/python -m benchmarks.fuzz_decode --count $(COUNT) --seed $(SEED)

bench-rate: $(STAMP) ## seconds per picture and megabyte: the rate of a dry run before any run was measured
	$(BIN)/python -m benchmarks.bench_rate

bench-encode: $(STAMP) ## encoding times beside Pillow's defaults
	$(BIN)/python -m benchmarks.bench_encode

bench-stages: $(STAMP) ## lens correction and sharpening against their targets
	$(BIN)/python -m benchmarks.bench_stages

bench-tone: $(STAMP) ## exposure and colour cast against truth
	$(BIN)/python -m benchmarks.bench_tone

bench-clean: $(STAMP) ## what every preset does to clean photographs
	$(BIN)/python -m benchmarks.bench_clean

bench-kinds: $(STAMP) ## what kind of picture each is taken for; whether drawings are left alone
	$(BIN)/python -m benchmarks.bench_kinds

bench-drawings: $(STAMP) ## text and line art enlarged, against renderings at that size
	$(BIN)/python -m benchmarks.bench_drawings

bench-sr: $(STAMP) ## super-resolution beside bicubic, DAT-light and peers, on Set5 and Set14
	$(BIN)/python -m benchmarks.bench_sr

bench-real: $(STAMP) ## really damaged pictures at 1x, 2x, 4x beside Real-ESRGAN's nets
	$(BIN)/python -m benchmarks.bench_real

bench-lowlight: $(STAMP) ## photographs 2 to 5 stops too dark beside CLAHE, SCI and IAT
	$(BIN)/python -m benchmarks.bench_lowlight

bench-joint: $(STAMP) ## noisy pictures enlarged 2x through the whole pipeline
	$(BIN)/python -m benchmarks.bench_joint

bench-colour: $(STAMP) ## faded prints brought back, beside classical methods
	$(BIN)/python -m benchmarks.bench_colour

bench-scratch: $(STAMP) ## scratches: what is found, mended and left alone
	$(BIN)/python -m benchmarks.bench_scratch

bench-artifacts: $(STAMP) ## the artefact score: injected artefacts found, false alarms on good results
	$(BIN)/python -m benchmarks.bench_artifacts

bench-jpeg: $(STAMP) ## JPEG artefacts at qualities 10, 30 and 60
	$(BIN)/python -m benchmarks.bench_jpeg

# One rule for every net that this package carries: fast-x2, fast-x4, balanced-x4, restore-x1, restore-x2, restore-x4,
# denoise, jpeg, colour, scratches, traces.
# TEACHER=net or file and START=file are for super-resolution (docs/training.md).
OUT ?= runs/$*
train-%: $(STAMP) ## DATA=folder OUT=folder THREADS=n: train a bundled net again, or go on with it
	$(if $(DATA),,$(error say where clean pictures lie: make $@ DATA=folder))
	$(BIN)/python -m enhancer.training $* --data $(DATA) --out $(OUT) $(if $(THREADS),--threads $(THREADS)) \
	    $(if $(STEPS),--steps $(STEPS)) $(if $(TEACHER),--teacher $(TEACHER)) $(if $(START),--start $(START))

GPU_STEPS ?= 60000
GPU_NETS := restore-x4 restore-x2 restore-x1
train-gpu: $(STAMP) ## DATA=folder GPU_STEPS=n: train all restoring nets one after another on a CUDA device, or go on
	$(if $(DATA),,$(error say where clean pictures lie: make $@ DATA=folder))
	@$(BIN)/python -c "import torch, sys; torch.cuda.is_available() or sys.exit('no CUDA device: make train-NAME trains on a CPU')"
	set -e; for net in $(GPU_NETS); do \
	    case $$net in restore-x2) start=restore-x4 ;; *) start=$$net ;; esac; \
	    $(BIN)/python -m enhancer.training $$net --data $(DATA) --out runs/$$net --steps $(GPU_STEPS) \
	        --start enhancer/models/bundled/$$start.safetensors; done

bench-denoise: $(STAMP) ## denoising against truth: noise of unknown strength, impulses, both
	$(BIN)/python -m benchmarks.bench_denoise

ROUNDS ?= 120
bench-chaos: $(STAMP) ## ROUNDS=N SEED=S: SIGKILL at random moments, then every promise checked
	$(BIN)/python -m benchmarks.bench_chaos --rounds $(ROUNDS) --seed $(SEED)

bench-big: $(STAMP) ## peak memory of 25 megapixels enlarged four times, and of 100 megapixels
	$(BIN)/python -m benchmarks.bench_big

bench-scale: $(STAMP) ## two million pictures: planning, ledger writes, the UI page's queries
	$(BIN)/python -m benchmarks.bench_scale

bench-speed-net: $(STAMP) ## nets alone at 4x in every runtime, beside the machine's limits
	$(BIN)/python -m benchmarks.bench_speed_net --prepare
	$(BIN)/python -m benchmarks.bench_speed_net

bench-speed-4k: $(STAMP) ## a 960x540 JPEG to 4K, end to end, beside peers
	$(BIN)/python -m benchmarks.bench_speed_4k

bench-speed-batch: $(STAMP) ## 500 mixed pictures through a worker: what it adds to the net
	$(BIN)/python -m benchmarks.bench_speed_batch

bench-speed-airflow: $(STAMP) ## the same work through the DAG and as a bare loop
	$(BIN)/python -m benchmarks.bench_speed_airflow

bench-hardware-table: $(STAMP) ## the specified sizes on this CPU, and computed for two GPUs
	$(BIN)/python -m benchmarks.bench_hardware_table

bench-gpu: $(STAMP) ## nets on a CUDA device: host to host, JPEG to JPEG, several pictures joined
	$(BIN)/python -m benchmarks.bench_gpu

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## remove everything that make made, except fetched weights
	test ! -x $(BIN)/python || $(BIN)/python -m demo --clean
	rm -rf $(VENV) .demo demo-output build dist *.egg-info .coverage* coverage.xml .mypy_cache .ruff_cache .pytest_cache .hypothesis
