# Your own images, in a folder made by `python -m smir prepare folder --root field`. Included by the Makefile.
FIELD ?= field
ifneq ($(words $(FIELD)),1)
$(error make takes no blanks in names of files: FIELD=$(FIELD). Rename or link the folder, or give the commands of docs/your-data.md)
endif
FIELD_RUNS ?= runs
FIELD_REPORT ?= report
FIELD_SEEDS ?= 0
# weights that the segmentations start from: scratch, imagenet, selective, or imagenet-selective (a pretraining from
# ImageNet weights); leave imagenet out if you can neither download nor give its weights (IMAGENET=)
FIELD_INITS ?= scratch imagenet selective
# more options for every fit, for the pretraining and for the segmentations
FIELD_FLAGS ?=
FIELD_PRETRAIN_FLAGS ?=
FIELD_SEGMENT_FLAGS ?=

# data.yaml holds the name of the runs; one of an earlier version holds none
FIELD_NAME := $(or $(shell sed -n 's/^run: {field: "\(.*\)"}$$/\1/p' $(FIELD)/data.yaml 2>/dev/null),folder)
FIELD_PRETRAINED := $(FIELD_RUNS)/$(FIELD_NAME)/selective/seed0
FIELD_ADAPTED := $(FIELD_RUNS)/$(FIELD_NAME)/imagenet-selective/seed0
FIELD_IMAGENET := $(IMAGENET:%=--model.imagenet_file %)
FIELD_FIT = $(SMIR) fit --config experiments/folder/$1.yaml --config $(FIELD)/data.yaml --run.root $(FIELD_RUNS) \
	--data.root $(FIELD) --run.if_taken refuse $(FIELD_FLAGS)

# A finished run says so, and its mark becomes newer than the data.
$(FIELD_PRETRAINED)/DONE: $(FIELD)/data.yaml | .venv/installed
	$(call FIELD_FIT,pretrain) $(FIELD_PRETRAIN_FLAGS)
	@touch $@

$(FIELD_ADAPTED)/DONE: $(FIELD)/data.yaml | .venv/installed
	$(call FIELD_FIT,pretrain-imagenet) $(FIELD_IMAGENET) $(FIELD_PRETRAIN_FLAGS)
	@touch $@

# $(call field_segment,init,config,name of the run,seed,what it rests on,further words)
define field_segment
FIELD_DONE_$1 += $(FIELD_RUNS)/$(FIELD_NAME)/$3/seed$4/DONE
FIELD_ROWS_$1 += $(FIELD_RUNS)/$(FIELD_NAME)/$3 $(if $5,$(patsubst %/seed0/DONE,%,$5))
$(FIELD_RUNS)/$(FIELD_NAME)/$3/seed$4/DONE: $(FIELD)/data.yaml $5 | .venv/installed
	$$(call FIELD_FIT,$2) --seed_everything $4 $6 $$(FIELD_SEGMENT_FLAGS)
	@touch $$@
endef

$(foreach seed,$(FIELD_SEEDS),\
$(eval $(call field_segment,scratch,segment-scratch,segment-scratch,$(seed)))\
$(eval $(call field_segment,imagenet,segment-imagenet,segment-imagenet,$(seed),,$(FIELD_IMAGENET)))\
$(eval $(call field_segment,selective,segment,segment,$(seed),$(FIELD_PRETRAINED)/DONE,\
	--model.weights $(FIELD_PRETRAINED)/checkpoints/best.ckpt))\
$(eval $(call field_segment,imagenet-selective,segment,segment-imagenet-selective,$(seed),$(FIELD_ADAPTED)/DONE,\
	--run.experiment folder/segment-imagenet-selective --model.weights $(FIELD_ADAPTED)/checkpoints/best.ckpt)))

$(FIELD)/data.yaml:
	@echo "$@ is not there. Make it: python -m smir prepare folder --images PHOTOS --labels LABELS --root $(FIELD)" >&2
	@exit 1

.PHONY: field
field: $(foreach init,$(FIELD_INITS),$(FIELD_DONE_$(init)))  ## your own images: pretraining, three inits, report; FIELD=field (experiments/folder.mk)
	$(SMIR) report $(sort $(foreach init,$(FIELD_INITS),$(FIELD_ROWS_$(init)))) --out $(FIELD_REPORT)
