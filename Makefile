# Every target is a chain of smir calls. A finished run has a DONE file, so make does not repeat it.
PYTHON ?= python3
SMIR = .venv/bin/python -m smir
DEMO = runs/demo
DEMO_FIT = $(SMIR) fit --run.if_taken refuse --config experiments/demo

# Encoders that run on small devices; a model of timm is tu-<its name>.
MODELS = resnet18 resnet34 tu-mobilenetv3_small_100 tu-mobilenetv3_large_100 tu-efficientnet_lite0 tu-convnext_atto \
	tu-regnetx_002
MODEL_RUNS = runs/models
MODEL_FIT = $(SMIR) fit --run.if_taken refuse --run.root $(MODEL_RUNS) --config experiments/demo
MODEL_PRETRAIN = --trainer.max_epochs 20
MODEL_SEGMENT = --trainer.max_epochs 30

.PHONY: help setup demo test test-surrounded lint docs wheel bench bench-models evidence fuzz torture faults

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

include experiments/paper.mk
include experiments/folder.mk

setup: .venv/installed  ## make .venv and install smir with its development tools
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@

# One process per core, one thread each: threads that wait for a core slow each other down many times.
test: .venv/installed  ## the whole test suite
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-surrounded: .venv/installed  ## the suite with variables and files of SLURM, torchrun and Lightning around every command
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --surrounded

fuzz: .venv/installed  ## read 10,000 damaged files with every reader
	PYTHONPATH=tests/support .venv/bin/python tests/tools/fuzz.py --cases 10000

faults: .venv/installed  ## refuse every open, write, sync and rename of every command once; Linux; hours on one core, continues where it stopped
	PYTHONPATH=tests/support OMP_NUM_THREADS=1 .venv/bin/python tests/tools/faults.py --every-error \
		--done build/faults.jsonl --out build/faults.md

torture: .venv/installed  ## kill runs at random moments and compare them with undisturbed ones; 10 minutes on 2 cores
	PYTHONPATH=tests/support .venv/bin/python tests/tools/torture.py --out docs/torture.md

lint: .venv/installed  ## ruff, its formatter, mypy (strict) on smir/, and the direction of imports
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

wheel: .venv/installed  ## build sdist and wheel, install the wheel in a fresh environment, run README's commands there
	.venv/bin/python tests/tools/wheel.py

docs: .venv/installed  ## the documentation as a site in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

bench: .venv/installed  ## measure the speed of everything against plain baselines; 15 minutes, on a quiet machine
	.venv/bin/python -m benchmarks

HELD ?= held
evidence: .venv/installed  ## is the pretraining worth it? the study on FIELD, tested on HELD; 20 hours of a core, continues where it stopped
	.venv/bin/python -m benchmarks.evidence --field $(FIELD) --held $(HELD) --document docs/evidence.md $(EVIDENCE_FLAGS)

DEMO_LAST = $(patsubst %,$(DEMO)/few-labels-%/seed0/DONE,scratch imagenet selective)
demo: $(DEMO_LAST)  ## which initial weights are best? three trainings with 12 labels of a synthetic field, and a pretraining
	@$(SMIR) report $(DEMO) --out $(DEMO)/report --short true
	@echo "Pictures of masks, reconstructions and losses: $(DEMO)/imagenet-selective/seed0/images"

$(DEMO)/data/nassar/ortho_tiles/tiles.json: | .venv/installed
	$(SMIR) prepare synthetic --root $(DEMO)/data --width 3072 --height 3072 --train_tiles 24 --test_tiles 48
	$(SMIR) prepare nassar --root $(DEMO)/data

$(DEMO)/imagenet-selective/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(DEMO_FIT)/from-imagenet.yaml

$(DEMO)/few-labels-scratch/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(DEMO_FIT)/few-labels.yaml --run.experiment demo/few-labels-scratch

$(DEMO)/few-labels-imagenet/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(DEMO_FIT)/few-labels.yaml --run.experiment demo/few-labels-imagenet --model.weights imagenet

$(DEMO)/few-labels-selective/seed0/DONE: $(DEMO)/imagenet-selective/seed0/DONE
	$(DEMO_FIT)/few-labels.yaml --run.experiment demo/few-labels-selective \
		--model.weights $(DEMO)/imagenet-selective/seed0/checkpoints/best.ckpt

model_runs = $(MODELS:%=$(MODEL_RUNS)/%/$(1)/seed0/DONE)

bench-models: $(call model_runs,segment-scratch) $(call model_runs,segment-selective)  ## cost and mIoU of small encoders, on a quiet machine; continues where it stopped
	.venv/bin/python -m benchmarks.models $(MODELS) --runs $(MODEL_RUNS) $(if $(filter file,$(origin MODELS)),,--dry)

$(call model_runs,selective): $(MODEL_RUNS)/%/selective/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(MODEL_FIT)/pretrain.yaml --config experiments/demo/selective.yaml $(MODEL_PRETRAIN) \
		--model.network.encoder $* --run.experiment $*/selective

$(call model_runs,segment-scratch): $(MODEL_RUNS)/%/segment-scratch/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(MODEL_FIT)/segment.yaml $(MODEL_SEGMENT) --model.network.encoder $* --run.experiment $*/segment-scratch

$(call model_runs,segment-selective): $(MODEL_RUNS)/%/segment-selective/seed0/DONE: $(MODEL_RUNS)/%/selective/seed0/DONE
	$(MODEL_FIT)/segment.yaml $(MODEL_SEGMENT) --model.network.encoder $* --run.experiment $*/segment-selective \
		--model.weights $(MODEL_RUNS)/$*/selective/seed0/checkpoints/best.ckpt
