# maskrt: every target works without arguments, on the demo model; variables change that, and mean the same everywhere.
# `make` lists both. A variable that nothing would use is an error.

PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out

# The source model, in the words of `maskrt export --help`.
DEMO   := maskrt.shapes.model:shapes_model
MODEL  ?= $(DEMO)
SOURCE := MODEL WEIGHTS CHECKPOINT CHECKPOINT_KEY CONFIG NUM_CLASSES CLASS_NAMES

# The exported file. Where it is given, it is one that is there; otherwise MODEL is exported when it is needed.
ONNX ?= $(OUT)/model.onnx

# What lies beside it in a lower precision. CALIBRATION: images like those that the model will see.
TRAINING := $(OUT)/calibration/annotations.json
PRECISIONS.quantize := int8
PRECISIONS.compare  := fp32 fp16 int8
PRECISIONS.evaluate := fp32 fp16 int8
NOT_CALIBRATED      := fp32 fp16
CALIBRATION ?= $(if $(if $(filter-out report,$(GOALS)),$(call given,ONNX))$(filter-out $(DEMO),$(MODEL)),,$(TRAINING))

# What is run: the ONNX file, or where a TARGET is given, the engine for it.
BUILD_FOR := $(or $(TARGET),rtx4090)
# On what: by default, the demo's held-out scenes.
SCENES  := $(OUT)/scenes/annotations.json
IMAGES  ?= $(dir $(SCENES))
DATASET ?= $(SCENES)

REPORT    := $(OUT)/report
PROCESSES ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))

TARGETS := help install doctor demo export quantize targets engine engines package deploy infer serve compare evaluate \
	bench report coco plugins gpu-check triton-check ray-check train-shapes figures docs dist test test-all test-long lint clean
VARIABLES := PYTHON VENV OUT BUDGET COCO ONNX $(SOURCE) PRECISION CALIBRATION TARGET FILES IMAGES DATASET LIMIT PROCESSES \
	$(addsuffix _OPTIONS,EXPORT QUANTIZE ENGINE PACKAGE DEPLOY INFER SERVE COMPARE EVALUATE BENCH REPORT TRAIN PYTEST)

# The variables that each target uses. Where a file is given, what it would have been made with is not used.
FROM_SOURCE := $(SOURCE) EXPORT_OPTIONS
FROM_FP32   := CALIBRATION QUANTIZE_OPTIONS
to_export    = ONNX $(if $(call given,ONNX),,OUT $(FROM_SOURCE))
to_quantize  = $(to_export) PRECISION $(if $(call calibrated,$(1)),$(FROM_FP32))
to_build     = $(to_quantize) TARGET ENGINE_OPTIONS
to_run       = $(to_quantize) TARGET $(if $(TARGET),ENGINE_OPTIONS)
to_measure   = FILES $(if $(FILES),,$(to_run)) OUT $(SOURCE) IMAGES LIMIT
uses.doctor       =
uses.demo         = OUT
uses.export       = ONNX OUT $(FROM_SOURCE)
uses.quantize     = $(to_quantize) DATASET
uses.engine       = $(to_build)
uses.engines      = $(to_quantize) ENGINE_OPTIONS
uses.package      = $(to_build) PACKAGE_OPTIONS
uses.deploy       = OUT $(SOURCE) TARGET PRECISION IMAGES DEPLOY_OPTIONS
uses.infer        = $(to_run) OUT IMAGES INFER_OPTIONS
uses.serve        = $(to_run) SERVE_OPTIONS
uses.compare      = $(to_measure) COMPARE_OPTIONS
uses.evaluate     = $(to_measure) DATASET EVALUATE_OPTIONS
uses.bench        = $(to_measure) BENCH_OPTIONS
uses.report       = OUT $(FROM_SOURCE) $(FROM_FP32) IMAGES DATASET LIMIT REPORT_OPTIONS
uses.coco         = COCO OUT $(FROM_SOURCE) $(FROM_FP32) LIMIT REPORT_OPTIONS
uses.gpu-check    = PYTHON BUDGET
uses.triton-check = OUT PYTEST_OPTIONS
uses.ray-check    = $(uses.triton-check)
uses.train-shapes = TRAIN_OPTIONS
uses.figures      = OUT
uses.docs         = OUT
uses.dist         =
uses.test         = PROCESSES PYTEST_OPTIONS
uses.test-all     = $(uses.test)
uses.test-long    = $(uses.test)
uses.clean        = OUT
uses              = $(uses.$(1)) $(if $(filter help gpu-check clean,$(1)),,PYTHON VENV)

GOALS       := $(or $(MAKECMDGOALS),help)
given        = $(filter command environment,$(firstword $(origin $(1))))
any_given    = $(strip $(foreach name,$(1),$(call given,$(name))))
option       = $(if $($(2)),$(1) $($(2)))
precisions   = $(or $(PRECISION),$(PRECISIONS.$(1)),fp32)
calibrated   = $(filter-out $(NOT_CALIBRATED),$(precisions))
onnx_files   = $(foreach precision,$(precisions),$(ONNX:.onnx=$(filter-out .fp32,.$(precision)).onnx))
ENGINE      := $(BUILD_FOR)$(if $(filter openvino,$(BUILD_FOR)),.xml,.engine)
engines      = $(patsubst %.onnx,%.$(ENGINE),$(onnx_files))
run_files    = $(if $(TARGET),$(engines),$(onnx_files))
model_files  = $(or $(FILES),$(run_files))

# What cannot be meant.
used    := $(if $(filter-out $(TARGETS),$(GOALS)),$(VARIABLES),$(foreach goal,$(GOALS),$(call uses,$(goal))))
closest  = $(shell $(PYTHON) -c 'import difflib, sys; print(*difflib.get_close_matches(sys.argv[1].upper(), \
	sys.argv[2:], 1))' '$(1)' $(VARIABLES))
unknown  = $(error There is no variable $(1).$(patsubst %, Did you mean %?,$(call closest,$(1))) `make` lists them; what \
	a program reads from its environment goes before `make`)
unused   = $(error `make $(GOALS)` as asked for has no use for $(1). It uses $(sort $(used)))
ON_THE_COMMAND_LINE := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(filter-out $(VARIABLES),$(ON_THE_COMMAND_LINE)),$(call unknown,$(name)))
$(foreach name,$(filter-out $(used),$(ON_THE_COMMAND_LINE)),$(call unused,$(name)))
$(if $(filter-out %.onnx,$(ONNX)),$(error ONNX=$(ONNX): expected the name of a file that ends in .onnx))
$(if $(word 2,$(TARGET)),$(error TARGET=$(TARGET): expected one target))
$(if $(filter infer serve engines package deploy,$(GOALS)),$(if $(word 2,$(PRECISION)),$(error PRECISION=$(PRECISION): \
	expected one)))
$(if $(filter quantize,$(GOALS)),$(if $(filter fp32,$(PRECISION)),$(error fp32 is what `make export` writes; `make \
	quantize` makes a lower precision of it)))

RUN    := $(VENV)/bin/python
MASKRT := $(VENV)/bin/maskrt
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# A file that loses more accuracy than it may is an error, but kept.
.PRECIOUS: $(ONNX:.onnx=).%.onnx $(REPORT)/model.%.onnx
.PHONY: $(TARGETS) FORCE

help:  ## this list
	@echo "maskrt: PyTorch Mask R-CNN to ONNX and TensorRT"
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24
	@echo "with the variables (and with MODEL: $(filter-out MODEL,$(SOURCE)))"
	@$(foreach target,$(TARGETS),$(if $(uses.$(target)),printf '  make %-16s %s\n' $(target) \
		'$(sort $(filter-out $(filter-out MODEL,$(SOURCE)),$(call uses.$(target),$(target))))';)) :

install: $(READY)  ## a virtual environment in .venv with everything, in the pinned versions

EXTRAS := cpu,export,quantize,evaluate,cityscapes,report,engines,rtx,openvino,video,pillow
EXTRAS := $(EXTRAS),serve,supervision,track,shapes,docs,dev
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) tools/make_environment.py $(VENV) ".[$(EXTRAS)]" --alone trackers
	@touch $@

doctor: $(READY)  ## what works on this machine, what is missing, and what brings it
	$(MASKRT) doctor

demo: $(READY)  ## export the demo model, find shapes in pictures, draw them: out/demo/
	@$(RUN) -m maskrt.shapes.demo --output $(OUT)/demo

# A file has a note beside it of the variables that it was made with, and is made again when others are given.
note_of      = $(dir $(1)).$(notdir $(1)).made-with
settings     = $(strip $(foreach name,$(1),$(if $($(name)),$(name)=$($(name)))))
note         = $(or $(if $(wildcard $(note_of)),$(shell cat $(note_of))),$(2))
write_note   = @printf '%s\n' '$(subst ','\'',$(call settings,$(1)))' > $(call note_of,$@)
differ       = $(subst x$(1),,x$(2))$(subst x$(2),,x$(1))
otherwise    = $(foreach file,$(1),$(if $(call differ,$(call settings,$(2)),$(call note,$(file),$(3))),$(file)))

EXPORTED   := $(if $(filter report,$(GOALS)),$(REPORT)/model.fp32.onnx) $(if $(call any_given,ONNX FILES),,$(ONNX))
CALIBRATED := $(if $(filter report,$(GOALS)),$(REPORT)/model.int8.onnx) $(sort $(foreach goal,$(GOALS),$(filter-out \
	$(ONNX) $(NOT_CALIBRATED:%=$(ONNX:.onnx=.%.onnx)),$(call onnx_files,$(goal)))) $(filter %.onnx,$(GOALS)))
OTHERWISE  := $(call otherwise,$(EXPORTED),$(FROM_SOURCE),MODEL=$(DEMO))
$(if $(call any_given,$(FROM_SOURCE)),$(OTHERWISE)): FORCE
$(if $(call any_given,$(FROM_FP32)),$(call otherwise,$(CALIBRATED),$(FROM_FP32),CALIBRATION=$(TRAINING))): FORCE
$(if $(call any_given,$(FROM_SOURCE)),,$(if $(filter compare evaluate bench report,$(GOALS)),$(foreach file,$(OTHERWISE),\
	$(error $(file) was exported with $(call note,$(file)). Give the same to compare it with its model))))

export: $(ONNX)  ## MODEL → ONNX, verified against PyTorch

SOURCE_OPTIONS = $(call option,--weights,WEIGHTS) $(call option,--checkpoint,CHECKPOINT) \
	$(call option,--checkpoint-key,CHECKPOINT_KEY) $(call option,--config,CONFIG) \
	$(call option,--num-classes,NUM_CLASSES) $(call option,--class-names,CLASS_NAMES)
define export_model
@mkdir -p $(@D)
$(MASKRT) export $(MODEL) $(SOURCE_OPTIONS) $(1) $(EXPORT_OPTIONS) --output $@
$(call write_note,$(FROM_SOURCE))
endef

ifneq ($(filter export,$(GOALS))$(if $(call given,ONNX),,exported),)
$(ONNX): $(if $(filter export,$(GOALS)),FORCE) $(wildcard $(MODEL) $(CHECKPOINT) $(CONFIG) $(CLASS_NAMES)) | $(READY)
	$(call export_model)
else
$(ONNX):
	@echo 'There is no $@: `make export MODEL=… ONNX=$@` writes it.' >&2; exit 2
endif

quantize: $(call onnx_files,quantize)  ## ONNX → PRECISION (fp16, int8, fp8), calibrated on CALIBRATION

define quantize_model
$(MASKRT) quantize $< --precision $* $(if $(filter $(NOT_CALIBRATED),$*),,--images $(or $(CALIBRATION),$(error $* is \
	calibrated on images like those that the model will see: give CALIBRATION=PATH)) $(QUANTIZE_OPTIONS)) \
	$(if $(filter quantize,$(GOALS)),$(if $(call given,DATASET),--dataset $(DATASET))) --output $@
$(if $(filter $(NOT_CALIBRATED),$*),,$(call write_note,$(FROM_FP32)))
endef

$(CALIBRATED): $(if $(call given,CALIBRATION),$(wildcard $(CALIBRATION)),| $(CALIBRATION))
$(ONNX:.onnx=).%.onnx: $(ONNX) $(if $(filter quantize,$(GOALS)),FORCE) | $(READY)
	$(call quantize_model)

$(TRAINING): | $(READY)
	$(RUN) -m maskrt.shapes.dataset --split train --limit 64 --output $(@D)

$(SCENES): | $(READY)
	$(RUN) -m maskrt.shapes.dataset --split test --limit 200 --output $(@D)

targets: $(READY)  ## what engines can be built for, in which precisions, and by whom here
	$(MASKRT) targets

engine: $(call onnx_files,engine) $(call engines,engine)  ## ONNX of PRECISION → engine for TARGET, with its manifest

# Asked each time: `maskrt engine` itself finds an engine that was built with the same.
%.$(ENGINE): %.onnx $(if $(filter openvino,$(BUILD_FOR)),,plugins)
	$(MASKRT) engine $< --target $(BUILD_FOR) $(ENGINE_OPTIONS)

engines: $(call onnx_files,engines) plugins  ## the same for every target that this machine can build for
	$(MASKRT) engine $< --all-targets $(ENGINE_OPTIONS)

package: $(call onnx_files,package) $(call engines,package)  ## engine, plugins and runtime in one archive for TARGET
	$(MASKRT) package $(call engines,package) --onnx $< $(PACKAGE_OPTIONS)

deploy: $(READY)  ## all of these, from MODEL to the archive for TARGET; goes on where it stopped
	$(MASKRT) deploy $(MODEL) $(SOURCE_OPTIONS) --target $(BUILD_FOR) $(call option,--precision,PRECISION) \
		$(if $(call given,IMAGES),--images $(IMAGES)) --output $(OUT)/deploy $(DEPLOY_OPTIONS)

# The demo's scenes, where nothing else is given.
IMAGES_HERE  := $(if $(call given,IMAGES),,$(SCENES))
DATASET_HERE := $(if $(call given,DATASET),,$(SCENES))

infer: $(READY) $(call run_files,infer) $(IMAGES_HERE)  ## ONNX, or TARGET's engine, on IMAGES: overlays, JSON
	$(MASKRT) infer $(call run_files,infer) --images $(IMAGES) --output $(OUT)/infer $(INFER_OPTIONS)

serve: $(READY) $(call run_files,serve)  ## ONNX, or TARGET's engine, behind a port, with a page to try it
	$(MASKRT) serve $(call run_files,serve) $(SERVE_OPTIONS)

compare: $(READY) $(call model_files,compare) $(IMAGES_HERE)  ## FILES against PyTorch, with a verdict for each
	$(MASKRT) compare $(call model_files,compare) --source $(MODEL) $(SOURCE_OPTIONS) --images $(IMAGES) \
		$(call option,--limit,LIMIT) --output $(OUT)/compare $(COMPARE_OPTIONS)

evaluate: $(READY) $(call model_files,evaluate) $(DATASET_HERE)  ## COCO AP of FILES and of PyTorch on DATASET
	$(MASKRT) evaluate $(call model_files,evaluate) --source $(MODEL) $(SOURCE_OPTIONS) --dataset $(DATASET) \
		$(if $(call given,IMAGES),--images $(IMAGES)) $(call option,--limit,LIMIT) --output $(OUT)/evaluate \
		$(EVALUATE_OPTIONS)

bench: $(READY) $(call model_files,bench) $(IMAGES_HERE)  ## latency, throughput, memory beside PyTorch
	$(MASKRT) bench $(call model_files,bench) --against pytorch --source $(MODEL) $(SOURCE_OPTIONS) --operations \
		--images $(IMAGES) $(call option,--limit,LIMIT) --output $(OUT)/bench.json $(BENCH_OPTIONS)

# The input is float32 here, so that the rounding of resized pixels is not taken for a difference of the models.
$(REPORT)/model.fp32.onnx: | $(READY)
	$(call export_model,--input-type float32)

$(REPORT)/model.%.onnx: $(REPORT)/model.fp32.onnx | $(READY)
	$(call quantize_model)

REPORTED := $(patsubst %,$(REPORT)/model.%.onnx,fp32 fp16 int8)
report: $(REPORTED) $(IMAGES_HERE) $(DATASET_HERE)  ## all of it on LIMIT scenes → out/report/index.html
	$(MASKRT) compare $(REPORTED) --source $(MODEL) $(SOURCE_OPTIONS) --images $(IMAGES) --limit 4 \
		--output $(REPORT)/compare || [ $$? -eq 1 ]
	$(MASKRT) evaluate $(REPORTED) --source $(MODEL) $(SOURCE_OPTIONS) --dataset $(DATASET) \
		$(if $(call given,IMAGES),--images $(IMAGES)) --limit $(or $(LIMIT),20) --output $(REPORT)/evaluate
	$(MASKRT) bench $(REPORTED) --against pytorch --source $(MODEL) $(SOURCE_OPTIONS) --images $(IMAGES) \
		--limit 4 --warm-up 4 --repeats 10 --output $(REPORT)/bench.json
	$(MASKRT) report $(REPORT) --output $(REPORT)/index.html $(REPORT_OPTIONS)

COCO ?= coco
# As it is downloaded: train2017/, val2017/ and annotations/. Variables that are given, the report gets, too.
COCO_MODEL   := $(if $(call any_given,$(SOURCE)),$(MODEL),maskrcnn_resnet50_fpn)
COCO_WEIGHTS := $(if $(call any_given,$(SOURCE)),$(WEIGHTS),COCO_V1)
handed_on     = $(foreach name,$(filter-out MODEL WEIGHTS,$(FROM_SOURCE)) PYTHON VENV REPORT_OPTIONS,$(if \
	$(call given,$(name)),'$(name)=$($(name))'))
coco: $(READY)  ## the report of MODEL (torchvision's without one) on COCO, with the published AP beside it
	@test -d '$(COCO)/val2017' || { echo 'There is no $(COCO)/val2017. Give COCO=FOLDER, with train2017/, val2017/ and' \
		'annotations/ in it.' >&2; exit 2; }
	MAKEFLAGS=$(filter-out -,$(firstword -$(MAKEFLAGS))) $(MAKE) report OUT=$(OUT)/coco 'MODEL=$(COCO_MODEL)' 'WEIGHTS=$(COCO_WEIGHTS)' $(handed_on) \
		DATASET=$(COCO)/annotations/instances_val2017.json IMAGES=$(COCO)/val2017 LIMIT=$(or $(LIMIT),5000) \
		CALIBRATION=$(if $(call given,CALIBRATION),$(CALIBRATION),$(COCO)/train2017) \
		QUANTIZE_OPTIONS='$(or $(QUANTIZE_OPTIONS),--limit 500)'
	$(RUN) -m maskrt.tools.published_ap $(OUT)/coco/report/evaluate/evaluate.json '$(COCO_MODEL)' \
		$(if $(COCO_WEIGHTS),--weights $(COCO_WEIGHTS))

plugins: $(READY)  ## compile the TensorRT plugins and their host build
	$(RUN) -m maskrt.plugins.build

gpu-check:  ## on a GPU machine, with its own packages: compile, GPU tests, benchmarks → out/gpu-check/
	PYTHONPATH=src $(PYTHON) -m maskrt.tools.gpu_check $(call option,--budget,BUDGET)

# Large tensors come and go at every training step: keeping their memory makes a step a third faster.
HUGE_PAGES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=10000000000
train-shapes: $(READY)  ## train the demo model again (about three hours on two cores)
	GLIBC_TUNABLES=$(HUGE_PAGES) $(RUN) -m maskrt.shapes.train $(TRAIN_OPTIONS)

figures: $(READY)  ## the demo model's picture and figures in README and docs/, from its file and `make evaluate`
	$(RUN) -m maskrt.tools.document_figures --evaluation $(OUT)/evaluate/evaluate.json

docs: $(READY)  ## README and docs/ as a site with search: out/site/; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet --strict --site-dir $(abspath $(OUT))/site

dist: $(READY)  ## a source distribution and a wheel of this version: dist/
	$(RUN) -m maskrt.tools.make_dist

PYTEST = OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses $(PROCESSES) --dist worksteal
test: $(READY)  ## the tests, without those that are slow and seldom find something
	$(PYTEST) -m "not slow" $(PYTEST_OPTIONS)

test-all: $(READY)  ## all tests that this machine can run, and which of them take longest
	$(PYTEST) --durations 60 $(PYTEST_OPTIONS)

TRITON := $(OUT)/triton-check
triton-check: $(TRITON)/.ready  ## a repository of `maskrt package --format triton` in a real Triton, on the CPU
	OMP_NUM_THREADS=1 $(TRITON)/bin/python -m pytest $(PYTEST_OPTIONS) tests/runtime/triton

# Triton's binaries without the Python around them, the last NumPy that their Python backend takes, a client; and behind
# these all that is in VENV.
$(TRITON)/.ready: $(READY)
	$(RUN) -m venv $(TRITON)
	$(TRITON)/bin/pip install --quiet --disable-pip-version-check "tritonclient[http]==2.73.0" "numpy==1.26.4"
	$(TRITON)/bin/pip install --quiet --disable-pip-version-check --no-deps "nvidia-pytriton==0.7.0"
	$(call see_venv,$(TRITON))
	@touch $@

RAY := $(OUT)/ray-check
ray-check: $(RAY)/.ready  ## pictures on a local Ray with two workers, some of which are killed (750 MB of packages)
	OMP_NUM_THREADS=1 $(RAY)/bin/python -m pytest $(PYTEST_OPTIONS) tests/ray

$(RAY)/.ready: $(READY)
	$(RUN) -m venv $(RAY)
	$(RAY)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt "ray[data,serve]==2.60.0"
	$(call see_venv,$(RAY))
	@touch $@

# Behind the packages of an environment, those of VENV.
define see_venv
$(RUN) -c 'import sysconfig; path = sysconfig.get_path("purelib"); print(f"import site; site.addsitedir({path!r})")' \
	> $$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth
endef

test-long: $(READY)  ## the long forms of the tests: 22,000 damaged files, 1,000 images, AP on 200 scenes (an hour)
	MASKRT_LONG_TESTS=1 $(PYTEST) $(PYTEST_OPTIONS)

lint: $(READY)  ## ruff, mypy, and that imports go one way
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache

clean:  ## remove what the other targets made, but not the environment
	rm -rf $(OUT) build dist
