# maskrt: every target works without arguments, on the demo model; variables change that.

PYTHON   ?= python3
VENV     ?= .venv
OUT      ?= out
MODEL    ?= maskrt.shapes.model:shapes_model
ONNX     ?= $(OUT)/model.onnx
IMAGES   ?= $(OUT)/demo/images
TARGET   ?= rtx4090
PRECISION ?= int8
CALIBRATION ?= $(OUT)/calibration/annotations.json
FILES    ?= $(ONNX) $(OUT)/model.fp16.onnx $(OUT)/model.int8.onnx
SCENES   ?= 20

RUN := $(VENV)/bin/python
# Large tensors come and go at every training step: keeping their memory makes a step a third faster.
HUGE_PAGES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=10000000000
READY := $(VENV)/.ready
PROCESSES ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))
REPORT := $(OUT)/report
REPORT_MODELS := $(foreach precision,fp32 fp16 int8,$(REPORT)/model.$(precision).onnx)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo export infer quantize plugins engine engines package gpu-check compare evaluate bench report \
	train-shapes test test-long lint clean

help:  ## this list
	@echo "maskrt: PyTorch Mask R-CNN to ONNX and TensorRT"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24
	@echo "variables: MODEL=$(MODEL) ONNX=$(ONNX) IMAGES=$(IMAGES) TARGET=$(TARGET) PRECISION=$(PRECISION)"

install: $(READY)  ## a virtual environment in .venv with everything, in the pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[cpu,export,quantize,evaluate,report,engines,rtx,video,shapes,dev]"
	@touch $@

demo: $(READY)  ## export the demo model, find shapes in pictures, draw them: out/demo/
	$(RUN) -m maskrt.shapes.demo --output $(OUT)/demo

export: $(READY)  ## MODEL → ONNX, verified against PyTorch
	@mkdir -p $(dir $(ONNX))
	$(RUN) -m maskrt.export $(MODEL) --output $(ONNX) $(EXPORT_OPTIONS)

infer: $(READY)  ## ONNX on IMAGES: overlays and COCO JSON
	$(RUN) -m maskrt.runtime.infer $(ONNX) $(IMAGES) --output $(OUT)/infer $(INFER_OPTIONS)

$(OUT)/calibration/annotations.json: $(READY)
	$(RUN) -m maskrt.shapes.dataset $(dir $@)

quantize: $(READY) $(ONNX) $(CALIBRATION)  ## ONNX → fp16, int8 or fp8 (PRECISION), calibrated on CALIBRATION
	$(RUN) -m maskrt.calibration $(ONNX) --precision $(PRECISION) --images $(CALIBRATION) \
		--output $(OUT)/model.$(PRECISION).onnx $(QUANTIZE_OPTIONS)

plugins: $(READY)  ## compile the TensorRT plugins and their host build
	$(RUN) -m maskrt.plugins.build

$(OUT)/model.onnx:
	$(MAKE) export

engine: $(READY) plugins $(ONNX)  ## ONNX → engine for TARGET, with its manifest
	$(RUN) -m maskrt.engines $(ONNX) --target $(TARGET) $(ENGINE_OPTIONS)

engines: $(READY) plugins $(ONNX)  ## ONNX → engines for every target that this machine can build for
	$(RUN) -m maskrt.engines $(ONNX) --all-targets $(ENGINE_OPTIONS)

package: engine  ## engine, plugins and runtime in one archive for the device of TARGET
	$(RUN) -m maskrt.engines.package.cli $(ONNX:.onnx=).$(TARGET).engine --onnx $(ONNX) $(PACKAGE_OPTIONS)

gpu-check:  ## on a GPU machine, with its own packages: compile, GPU tests, kernel benchmarks → out/gpu-check/
	PYTHONPATH=src $(PYTHON) -m maskrt.tools.gpu_check

$(OUT)/model.fp16.onnx $(OUT)/model.int8.onnx: $(OUT)/model.%.onnx: $(ONNX) $(CALIBRATION)
	$(RUN) -m maskrt.calibration $(ONNX) --precision $* --images $(CALIBRATION) --output $@

compare: $(READY) $(FILES)  ## FILES against PyTorch: tensors, detections, a verdict for each
	$(RUN) -m maskrt.evaluation.compare.cli $(FILES) --model $(MODEL) --output $(OUT)/compare $(COMPARE_OPTIONS)

evaluate: $(READY) $(FILES)  ## COCO AP of FILES and of PyTorch on DATASET
	$(RUN) -m maskrt.evaluation.evaluate.cli $(FILES) --pytorch --model $(MODEL) $(if $(DATASET),--dataset $(DATASET)) \
		--output $(OUT)/evaluate $(EVALUATE_OPTIONS)

bench: $(READY) $(ONNX)  ## latency, throughput and memory of ONNX beside torchvision, by stage → out/bench.json
	$(RUN) -m maskrt.evaluation.bench.cli $(ONNX) --against torchvision --model $(MODEL) --operations \
		--output $(OUT)/bench.json $(BENCH_OPTIONS)

# The input is float32 here, so that the rounding of resized pixels is not taken for a difference of the models.
$(REPORT)/model.fp32.onnx: $(READY)
	@mkdir -p $(REPORT)
	$(RUN) -m maskrt.export $(MODEL) --input-type float32 --output $@

$(REPORT)/model.fp16.onnx $(REPORT)/model.int8.onnx: $(REPORT)/model.%.onnx: $(REPORT)/model.fp32.onnx $(CALIBRATION)
	$(RUN) -m maskrt.calibration $< --precision $* --images $(CALIBRATION) --output $@

report: $(READY) $(REPORT_MODELS)  ## PyTorch, FP32, FP16, INT8 side by side on SCENES scenes → out/report/index.html
	$(RUN) -m maskrt.evaluation.compare.cli $(REPORT_MODELS) --model $(MODEL) --count 4 --output $(REPORT)/compare || [ $$? -eq 1 ]
	$(RUN) -m maskrt.evaluation.evaluate.cli $(REPORT_MODELS) --pytorch --model $(MODEL) --limit $(SCENES) \
		--output $(REPORT)/evaluate
	$(RUN) -m maskrt.evaluation.bench.cli $(REPORT_MODELS) --against torchvision --model $(MODEL) \
		--pictures 4 --warm-up 4 --repeats 10 --output $(REPORT)/bench.json
	$(RUN) -m maskrt.evaluation.report.cli $(REPORT) --output $(REPORT)/index.html

train-shapes: $(READY)  ## train the demo model again (about an hour and a half on two cores)
	GLIBC_TUNABLES=$(HUGE_PAGES) $(RUN) -m maskrt.shapes.train

test: $(READY)  ## all tests that this machine can run
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses $(PROCESSES) --dist worksteal $(PYTEST_OPTIONS)

test-long: $(READY)  ## the long forms of the tests: 22,000 damaged files, 1,000 images, AP on 200 scenes (an hour)
	OMP_NUM_THREADS=1 MASKRT_LONG_TESTS=1 $(RUN) -m pytest --numprocesses $(PROCESSES) --dist worksteal $(PYTEST_OPTIONS)

lint: $(READY)  ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:  ## remove what the other targets made, but not the environment
	rm -rf $(OUT) build dist
