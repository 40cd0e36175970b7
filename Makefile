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

RUN := $(VENV)/bin/python
# Large tensors come and go at every training step: keeping their memory makes a step a third faster.
HUGE_PAGES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=10000000000
READY := $(VENV)/.ready
PROCESSES ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))

.DEFAULT_GOAL := help
.PHONY: help install demo export infer quantize plugins engine engines package gpu-check bench train-shapes test lint clean

help:  ## this list
	@echo "maskrt: PyTorch Mask R-CNN to ONNX and TensorRT"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24
	@echo "variables: MODEL=$(MODEL) ONNX=$(ONNX) IMAGES=$(IMAGES) TARGET=$(TARGET) PRECISION=$(PRECISION)"

install: $(READY)  ## a virtual environment in .venv with everything, in the pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[cpu,export,quantize,engines,rtx,video,shapes,dev]"
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
	$(RUN) -m maskrt.engines.package $(ONNX:.onnx=).$(TARGET).engine --onnx $(ONNX) $(PACKAGE_OPTIONS)

gpu-check:  ## on a GPU machine, with its own packages: compile, GPU tests, kernel benchmarks → out/gpu-check/
	PYTHONPATH=src $(PYTHON) -m maskrt.plugins.gpu_check

bench: $(READY)  ## CPU benchmarks against torchvision and pycocotools, as ratios
	$(RUN) -m maskrt.evaluation.bench_preprocess
	$(RUN) -m maskrt.evaluation.bench_paste
	$(RUN) -m maskrt.evaluation.bench_pipeline

train-shapes: $(READY)  ## train the demo model again (about an hour and a half on two cores)
	GLIBC_TUNABLES=$(HUGE_PAGES) $(RUN) -m maskrt.shapes.train

test: $(READY)  ## all tests that this machine can run
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses $(PROCESSES) --dist worksteal $(PYTEST_OPTIONS)

lint: $(READY)  ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:  ## remove what the other targets made, but not the environment
	rm -rf $(OUT) build dist
