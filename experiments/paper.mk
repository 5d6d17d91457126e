# The runs of the paper, as files: a run is done when its DONE is there. Included by the Makefile.
DATA ?= data
SEEDS ?= 0 1 2
# GPUs of a run; auto: one with `make -j`, else all
DEVICES ?= auto
# once: one pretraining (seed 3741) for all downstream seeds, as in the paper; paired: one for each of them
PRETRAIN ?= once
# paper: with the paper's overlaps between pool, training and test; clean: without them
PROTOCOL ?= paper
# a file of ResNet-34's ImageNet weights, where they cannot be downloaded
IMAGENET ?=
# datasets that the ablations are made on
ABLATE ?= sugar_beets
# online, offline or off: whether Weights & Biases hears of the runs
WANDB ?=
# further words for every fit, for the pretrainings and for the segmentations
FLAGS ?=
PRETRAIN_FLAGS ?=
SEGMENT_FLAGS ?=
RUNS ?= runs$(if $(filter clean,$(PROTOCOL)),/clean)
REPORT ?= report$(if $(filter clean,$(PROTOCOL)),/clean)

DATASETS := pascal_voc cityscapes nassar sugar_beets
SISTER_pascal_voc := cityscapes
SISTER_cityscapes := pascal_voc
SISTER_nassar := sugar_beets
SISTER_sugar_beets := nassar
PRETRAININGS := random selective random-staged random-fixed
VARIANTS := $(basename $(notdir $(wildcard experiments/ablations/*.yaml)))
BUDGETS := $(filter labels-%,$(VARIANTS))
BUDGET_INITS := scratch imagenet random selective

$(foreach word,$(filter-out once paired,$(PRETRAIN)),$(error PRETRAIN is once or paired, not $(word)))
$(foreach word,$(filter-out paper clean,$(PROTOCOL)),$(error PROTOCOL is paper or clean, not $(word)))
$(foreach word,$(filter-out $(DATASETS),$(ABLATE)),$(error ABLATE names datasets ($(DATASETS)), not $(word)))

# $(call pretraining_of,dataset/row,seed): folder of the pretraining that a downstream run of that seed starts from
pretraining_of = $(RUNS)/$1/seed$(if $(filter paired,$(PRETRAIN)),$2,3741)
pretraining_seeds = $(if $(filter paired,$(PRETRAIN)),$(SEEDS),3741)
JOB = $(SMIR) job --run $(@D) --devices $(DEVICES) -- fit
WHERE = --run.root $(RUNS) --run.if_taken refuse --data.root $(DATA) --data.protocol $(PROTOCOL) \
	$(WANDB:%=--run.wandb %)

# $(call pretrain,dataset,row,seed,variant or nothing)
define pretrain
RUNS_OF_$1 += $(RUNS)/$1/$2$(4:%=-%)/seed$3/DONE
$(RUNS)/$1/$2$(4:%=-%)/seed$3/DONE: | .venv/installed
	@$$(JOB) --config experiments/$1/$2.yaml $(4:%=--config experiments/ablations/%.yaml) --seed_everything $3 \
		$$(WHERE) $$(PRETRAIN_FLAGS) $$(FLAGS)
endef

# $(call segment,dataset,init,seed,variant or nothing,folder of its pretraining or nothing,further words)
define segment
RUNS_OF_$1 += $(RUNS)/$1/segment-$2$(4:%=-%)/seed$3/DONE
$(RUNS)/$1/segment-$2$(4:%=-%)/seed$3/DONE: $(5:%=%/DONE) | .venv/installed
	@$$(JOB) --config experiments/$1/segment-$2.yaml $6 --seed_everything $3 \
		$(5:%=--model.weights %/checkpoints/best.ckpt) $$(WHERE) $$(SEGMENT_FLAGS) $$(FLAGS)
endef

imagenet_file = $(IMAGENET:%=--model.imagenet_file %)

# $(call main_table,dataset): the rows of the main table, by seed
define main_table
$(foreach row,$(PRETRAININGS),$(foreach seed,$(pretraining_seeds),$(eval $(call pretrain,$1,$(row),$(seed)))))
$(foreach seed,$(SEEDS),
$(eval $(call segment,$1,scratch,$(seed)))
$(eval $(call segment,$1,imagenet,$(seed),,,$(imagenet_file)))
$(foreach row,$(PRETRAININGS),$(eval $(call segment,$1,$(row),$(seed),,$(call pretraining_of,$1/$(row),$(seed)))))
$(eval $(call segment,$1,selective-cross,$(seed),,$(call pretraining_of,$(SISTER_$1)/selective,$(seed)))))
endef

# $(call ablations,dataset): other settings of selective masking, each with its downstream runs; and label budgets
define ablations
$(foreach word,$(filter-out labels-%,$(VARIANTS)),
$(foreach seed,$(pretraining_seeds),$(eval $(call pretrain,$1,selective,$(seed),$(word))))
$(foreach seed,$(SEEDS),$(eval $(call segment,$1,selective,$(seed),$(word),$(call \
	pretraining_of,$1/selective-$(word),$(seed)),--run.variant $(word)))))
$(foreach word,$(BUDGETS),$(foreach seed,$(SEEDS),$(foreach init,$(BUDGET_INITS),$(eval $(call \
	segment,$1,$(init),$(seed),$(word),$(if $(filter $(init),$(PRETRAININGS)),$(call \
	pretraining_of,$1/$(init),$(seed))),--config experiments/ablations/$(word).yaml $(if \
	$(filter imagenet,$(init)),$(imagenet_file)))))))
endef

$(foreach dataset,$(DATASETS),$(call main_table,$(dataset)))
MAIN_RUNS := $(foreach dataset,$(DATASETS),$(RUNS_OF_$(dataset)))
$(foreach dataset,$(ABLATE),$(call ablations,$(dataset)))
PAPER_RUNS := $(foreach dataset,$(DATASETS),$(RUNS_OF_$(dataset)))

.PHONY: paper plan report paper-smoke smoke-report pascal sugarbeets $(DATASETS)
# An interrupted make must not delete the mark of a finished run.
.PRECIOUS: $(PAPER_RUNS)

paper: $(PAPER_RUNS)  ## every run of the paper, then its report; DATA= SEEDS= DEVICES= PRETRAIN= PROTOCOL= (experiments/paper.mk)
	$(SMIR) report $(DATASETS:%=$(RUNS)/%) --out $(REPORT)

$(foreach dataset,$(DATASETS),$(eval $(dataset): $(RUNS_OF_$(dataset))))
$(DATASETS):  # one dataset, with what its runs rest on: make nassar
pascal: pascal_voc
sugarbeets: sugar_beets

plan: | .venv/installed  ## runs, image visits and hours that `make paper`, with the same variables, still needs
	@$(MAKE) --no-print-directory --dry-run paper | $(SMIR) plan

report: | .venv/installed  ## the report of the finished runs
	$(SMIR) report $(wildcard $(DATASETS:%=$(RUNS)/%)) --out $(REPORT)

# The main table through the same rules, on tiny fakes in the true layouts.
SMOKE := runs/smoke
paper-smoke: $(SMOKE)/data/READY  ## the rows of the main table on tiny fakes, one seed; 5 minutes on 2 CPU cores
	@$(MAKE) --no-print-directory smoke-report RUNS=$(SMOKE) DATA=$(SMOKE)/data SEEDS=0 PRETRAIN=once PROTOCOL=paper \
		IMAGENET=$(SMOKE)/data/imagenet.pth FLAGS='--config experiments/smoke/all.yaml' \
		PRETRAIN_FLAGS='--config experiments/smoke/pretrain.yaml' SEGMENT_FLAGS='--config experiments/smoke/segment.yaml'

$(SMOKE)/data/READY: | .venv/installed
	.venv/bin/python tests/fakes.py $(SMOKE)/data

smoke-report: $(MAIN_RUNS)
	$(SMIR) report $(DATASETS:%=$(RUNS)/%) --out $(RUNS)/report
