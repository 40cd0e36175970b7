"""The TensorRT backend: engines in `tensorrt`, its lean and dispatch runtimes, and `tensorrt_rtx`."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import numpy as np

from maskrt.contract.manifest import read_manifest
from maskrt.contract.tensors import IMAGE_SIZES, IMAGES
from maskrt.errors import ArgumentError, ModelError
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.backends.tensorrt.engine import Engine
from maskrt.runtime.backends.tensorrt.manifest import tensorrt_settings
from maskrt.runtime.backends.tensorrt.masks import MaskPaster
from maskrt.runtime.backends.tensorrt.worker import Worker
from maskrt.runtime.cuda.arrays import check_contiguous, is_device_array, open_device_array
from maskrt.runtime.cuda.device import CudaError, Gpu, OutOfMemory
from maskrt.runtime.masks.paste import PasteCounts


class TensorRtBackend:
    """An engine on the GPU that is the current one in the opening thread; see `base.Backend`.

    Calls of `run` that overlap have a stream, memory and execution contexts of their own: a worker, kept for a later
    call. There are as many workers as calls have ever overlapped, or as the GPU's memory has room for: then calls wait
    for each other.

    Args:
        path: the engine file, with its manifest beside it.
        threads: CPU threads at the most, which it needs none of.

    Raises:
        ModelError: the engine or its manifest is missing, damaged, or does not fit this machine.
        DependencyError: cuda-bindings or the TensorRT that it needs is not installed.
    """

    resizes = True
    runs_at_once = 2  # while the GPU works on a batch, the next one is copied to it

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self._path = path
        manifest = read_manifest(path)
        self.metadata = manifest.metadata(str(path))
        self._profile = tensorrt_settings(path, manifest).profile
        try:
            self._gpu = Gpu()
            self._engine = Engine(path, manifest, self._gpu)
        except CudaError as error:
            raise ModelError(f"{path} cannot be loaded: the GPU failed. {error}.") from None
        self.input_dtype = self._engine.dtypes[IMAGES]
        self.providers: tuple[str, ...] = (f"{self._engine.title} on {self._gpu.name}",)
        self.paste_counts: PasteCounts | None = MaskPaster(self._gpu)
        self._idle: LifoQueue[Worker] = LifoQueue()  # a single thread meets the same one, warm, each time
        self._lock = threading.Lock()
        self._workers = 0
        self._room = math.inf  # for so many workers

    def run(self, feed: Mapping[str, Any]) -> Detections:
        """Run one batch; see `base.Backend.run`.

        Args:
            feed: `images` as `Frames`, which are resized on the GPU, as a NumPy array, or as an array on the GPU (of
                torch, CuPy, PyCUDA, ...), which is copied there. The other inputs as NumPy arrays.

        Raises:
            ArgumentError: the images are of another type, outside of the engine's profile, or on another GPU.
            ModelError: there is too little GPU memory, or the engine failed.
        """
        try:
            with self._gpu.current():
                outputs = self._run(feed)
        except CudaError as error:
            raise ModelError(
                f"{self._path} failed on the GPU: {error}. Start the program again; if it fails again, run the ONNX "
                "file on this machine to see whether the GPU or the engine is at fault."
            ) from None
        return Detections.of(outputs)

    def _run(self, feed: Mapping[str, Any]) -> dict[str, np.ndarray]:
        worker = self._take()
        try:
            try:
                return self._run_on(worker, feed)
            except OutOfMemory as error:
                with self._lock:
                    if self._workers == 1:
                        raise self._too_large(feed[IMAGES].shape, error) from None
                    self._workers -= 1
                    self._room = self._workers
            # Behind the exception, whose frames hold the worker: its memory is free when there is no other name for it.
            del worker
            worker = self._idle.get()
            try:
                return self._run_on(worker, feed)
            except OutOfMemory as error:
                raise self._too_large(feed[IMAGES].shape, error) from None
        finally:
            self._idle.put(worker)

    def _run_on(self, worker: Worker, feed: Mapping[str, Any]) -> dict[str, np.ndarray]:
        images = feed[IMAGES]
        if is_device_array(images):
            images = open_device_array(images, self._gpu, worker.stream)
            check_contiguous(images)
        self._check(images.dtype, tuple(images.shape), feed[IMAGE_SIZES].shape)
        return worker.run({**feed, IMAGES: images})

    def _take(self) -> Worker:
        """Return a worker that is idle: one that is there, a new one, or the first to be given back."""
        with contextlib.suppress(Empty):
            return self._idle.get_nowait()
        with self._lock:
            if self._workers < self._room:
                worker = Worker(self._engine, self._gpu, self._profile.max[1:])
                self._workers += 1
                return worker
        return self._idle.get()

    def _too_large(self, shape: tuple[int, ...], error: OutOfMemory) -> ModelError:
        batch, height, width = shape[:3]
        if error.call == "cudaMalloc":
            free, total = self._gpu.free_memory()
            kind, have = "GPU memory", f"{free / 1e6:,.0f} of {total / 1e6:,.0f} MB are free"
        else:
            kind, have = "pinned host memory", "the system has less"
        return ModelError(
            f"{self._path}: a batch of {batch} canvases of {height}x{width} pixels needs "
            f"{error.size / 1e6:,.0f} MB of {kind}, but {have}. Use a smaller batch, smaller images, an engine with a "
            "smaller profile (`maskrt engine --max`), fewer threads, or close other programs that use the GPU."
        )

    def _check(self, dtype: np.dtype, shape: tuple[int, ...], sizes_shape: tuple[int, ...]) -> None:
        if dtype != self.input_dtype or len(shape) != 4 or shape[3] != 3 or sizes_shape != (shape[0], 2):
            raise ArgumentError(
                f"{self._path} takes images of {self.input_dtype} [batch, height, width, 3] and image_sizes "
                f"[batch, 2], but got {dtype} {list(shape)} and {list(sizes_shape)}."
            )
        low, high, divisor = self._profile.min, self._profile.max, self.metadata.pipeline.size_divisor
        fits = all(least <= size <= most for least, size, most in zip(low, shape[:3], high, strict=True))
        if not fits or any(size % divisor for size in shape[1:3]):
            raise ArgumentError(
                f"A batch of {_text(shape[:3])} (images x height x width) does not fit {self._path}: its profile goes "
                f"from {_text(low)} to {_text(high)}, in multiples of {divisor} pixels. Cut larger images into tiles "
                f"(`maskrt infer --tile {_text(high[1:])}`), resize them, give at most {high[0]} at a time, or build "
                f"an engine for them: `maskrt engine --max {_text(shape[:3])}`."
            )


def _text(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
