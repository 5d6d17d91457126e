# Every target is a chain of smir calls. A finished run is its DONE file, so what is done is not done again.
PYTHON ?= python3
SMIR = .venv/bin/python -m smir
DEMO = runs/demo
DEMO_FIT = $(SMIR) fit --run.if_taken refuse --config experiments/demo

.PHONY: help setup demo test lint docs bench fuzz torture

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

include experiments/paper.mk
include experiments/folder.mk

setup: .venv/installed  ## make .venv and install smir with its development tools
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@

# Processes on all cores, a thread each: threads that wait for a core slow each other down many times.
test: .venv/installed  ## the whole test suite
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile

fuzz: .venv/installed  ## 10,000 damaged files at everything that reads one
	.venv/bin/python tests/fuzz.py --cases 10000

torture: .venv/installed  ## kill runs at random moments, compare them with their twins; 10 minutes on 2 cores
	.venv/bin/python tests/torture.py --out docs/torture.md

lint: .venv/installed  ## ruff, its formatter, and mypy (strict) on smir/
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/installed  ## the documentation as a site in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

bench: .venv/installed  ## measure how fast everything is, beside plain baselines; about 10 minutes, on a quiet machine
	.venv/bin/python -m benchmarks

demo: $(DEMO)/segment-scratch/seed0/DONE $(DEMO)/segment-random/seed0/DONE $(DEMO)/segment-selective/seed0/DONE  ## pretrain, fine-tune and compare on a synthetic field
	$(SMIR) report $(DEMO) --out $(DEMO)/report

$(DEMO)/data/nassar/ortho_tiles/tiles.json: | .venv/installed
	$(SMIR) prepare synthetic --root $(DEMO)/data --width 3072 --height 3072 --train_tiles 24 --test_tiles 48
	$(SMIR) prepare nassar --root $(DEMO)/data

$(DEMO)/random/seed0/DONE $(DEMO)/selective/seed0/DONE: $(DEMO)/%/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(DEMO_FIT)/pretrain.yaml --config experiments/demo/$*.yaml

$(DEMO)/segment-scratch/seed0/DONE: $(DEMO)/data/nassar/ortho_tiles/tiles.json
	$(DEMO_FIT)/segment.yaml --run.experiment demo/segment-scratch

$(DEMO)/segment-random/seed0/DONE $(DEMO)/segment-selective/seed0/DONE: $(DEMO)/segment-%/seed0/DONE: $(DEMO)/%/seed0/DONE
	$(DEMO_FIT)/segment.yaml --run.experiment demo/segment-$* \
		--model.weights $(DEMO)/$*/seed0/checkpoints/best.ckpt
