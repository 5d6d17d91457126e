# The runs of the paper as files: a run is finished when its DONE is there. The Makefile includes this file.
DATA ?= data
SEEDS ?= 0 1 2
# GPUs of a run; auto: one with `make -j`, otherwise all
DEVICES ?= auto
# paper: with the paper's overlaps between pool, training and test; clean: without them
PROTOCOL ?= paper
# once: one pretraining (seed 3741) for all downstream seeds, as in the paper; paired: one for each of them
PRETRAIN ?= $(if $(filter clean,$(PROTOCOL)),paired,once)
# file of ResNet-34's ImageNet weights, if they cannot be downloaded
IMAGENET ?=
# datasets of the ablations
ABLATE ?= sugar_beets
# online, offline or off: whether to log to Weights & Biases
WANDB ?=
# more options for every fit, for the pretrainings and for the segmentations
FLAGS ?=
PRETRAIN_FLAGS ?=
SEGMENT_FLAGS ?=
RUNS ?= runs$(if $(filter clean,$(PROTOCOL)),/clean)
REPORT ?= report$(if $(filter clean,$(PROTOCOL)),/clean)

# smir/cli/paper.py has the table of runs. It prints a rule for each run, and says which of these words is wrong. $(shell)
# turns line ends into blanks, so they are printed as ~. If `experiments` is a link, smir is beside the link's target.
TABLE = --seeds=$(call quoted,$(SEEDS)) --pretrain=$(call quoted,$(PRETRAIN)) --protocol=$(call quoted,$(PROTOCOL)) \
	--ablate=$(call quoted,$(ABLATE))
JOB = $(SMIR) job --run $(@D) --devices $(DEVICES) --
quoted = '$(subst ','\'',$1)'
path = $(call quoted,$(subst $(newline),,$(subst $(newline)~/,$(HOME)/,$(newline)$1)))
define newline


endef
$(eval $(subst ~,$(newline),$(shell cd -P experiments/.. && $(firstword $(wildcard .venv/bin/python) $(PYTHON)) \
	-m smir.cli.paper $(TABLE) | tr '\n' '~')))
ifndef PAPER_RUNS
PAPER_RUNS := no-runs
MAIN_RUNS := no-runs
no-runs: ; $(error smir/cli/paper.py printed no runs. Look for its message above, and at SEEDS=$(SEEDS))
endif

.PHONY: paper plan report paper-smoke smoke-report pascal sugarbeets $(DATASETS)
# An interrupted make must not delete the mark of a finished run.
.PRECIOUS: $(PAPER_RUNS)

paper: $(PAPER_RUNS)  ## every run of the paper, then its report; DATA= SEEDS= DEVICES= PRETRAIN= PROTOCOL= (experiments/paper.mk)
	$(SMIR) report $(DATASETS:%=$(RUNS)/%) --expect paper --out $(REPORT)

$(foreach dataset,$(DATASETS),$(eval $(dataset): $(RUNS_OF_$(dataset))))
$(DATASETS):  # one dataset, with the runs that it needs: make nassar
pascal: pascal_voc
sugarbeets: sugar_beets

# Before the installation, which takes minutes: the folder may be mistyped, and without data a plan is possible, too.
.PHONY: data-looked-for
data-looked-for:
	@test -d $(call path,$(DATA)) || echo There is no folder $(call path,$(DATA)): the plan takes the published \
	counts. If the data have another place: make plan DATA=FOLDER >&2

plan: | data-looked-for .venv/installed  ## runs, image visits and hours that `make paper` still needs, with the same variables
	@$(SMIR) plan $(TABLE) --data $(call path,$(DATA)) --runs $(RUNS) --flags=$(call quoted,$(FLAGS)) \
		--pretrain_flags=$(call quoted,$(PRETRAIN_FLAGS)) --segment_flags=$(call quoted,$(SEGMENT_FLAGS))

report: | .venv/installed  ## the report of the finished runs
	$(SMIR) report $(wildcard $(DATASETS:%=$(RUNS)/%)) --out $(REPORT)

# The main table and the controls by the same rules, on tiny fake data in the true layouts.
SMOKE := runs/smoke
SMOKE_ABLATIONS := score-variance score-interpolation score-excess loss-masked ssim-unit-range encoder-only frozen-encoder \
	encoder-lr-0.1 batch-norm label-draws
paper-smoke: $(SMOKE)/data/READY  ## the main table and the controls on tiny fake data, one seed, two runs at a time; 12 minutes on 2 CPU cores
	@OMP_NUM_THREADS=1 $(MAKE) -j2 --no-print-directory smoke-report RUNS=$(SMOKE) DATA=$(SMOKE)/data SEEDS=0 PRETRAIN=once PROTOCOL=paper \
		ABLATE=nassar \
		IMAGENET=$(SMOKE)/data/imagenet.pth FLAGS='--config experiments/smoke/all.yaml' \
		PRETRAIN_FLAGS='--config experiments/smoke/pretrain.yaml' SEGMENT_FLAGS='--config experiments/smoke/segment.yaml'

$(SMOKE)/data/READY: | .venv/installed
	.venv/bin/python tests/support/fakes.py $(SMOKE)/data

smoke-report: $(MAIN_RUNS) $(foreach run,$(PAPER_RUNS),\
	$(if $(strip $(foreach name,$(SMOKE_ABLATIONS),$(findstring -$(name)/,$(run)))),$(run)))
	$(SMIR) report $(DATASETS:%=$(RUNS)/%) --expect paper --out $(RUNS)/report
