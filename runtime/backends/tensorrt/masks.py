"""Masks to run lengths on the GPU, with the result of `runtime.masks.paste.paste_counts`, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, LifoQueue

import numpy as np

from maskrt.contract.pipeline import Paste
from maskrt.errors import ModelError
from maskrt.plugins.device import DeviceError, paste_rle, paste_rle_workspace_bytes
from maskrt.runtime.backends.tensorrt.blocks import Block, Spec, aligned
from maskrt.runtime.cuda.arrays import DeviceArray
from maskrt.runtime.cuda.device import CudaError, DeviceMemory, Gpu, OutOfMemory, PinnedMemory, Stream
from maskrt.runtime.masks import paste as on_cpu

_FLOAT32, _INT32, _INT64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)
_UINT32, _UINT8 = np.dtype(np.uint32), np.dtype(np.uint8)


class MaskPaster:
    """Pastes masks; called as `paste_counts`. May be called by several threads at once.

    What the kernels have no room or memory for is pasted on the CPU, which gives the same.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._idle: LifoQueue[_Worker] = LifoQueue()

    def __call__(
        self, boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int], paste: Paste
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `runtime.masks.paste.paste_counts`."""
        if not len(boxes):
            return
        try:
            with self._gpu.current():
                counts = self._paste(boxes, mask_probabilities, image_size, paste)
        except (OutOfMemory, DeviceError):
            yield from on_cpu.paste_counts(boxes, mask_probabilities, image_size, paste)
            return
        except CudaError as error:
            raise ModelError(f"The masks could not be pasted: the GPU failed. {error}.") from None
        yield counts

    def _paste(
        self, boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int], paste: Paste
    ) -> tuple[np.ndarray, np.ndarray]:
        worker = None
        with suppress(Empty):
            worker = self._idle.get_nowait()
        worker = worker or _Worker(self._gpu)
        try:
            return worker.paste(boxes, mask_probabilities, image_size, paste)
        finally:
            self._idle.put(worker)

    def __reduce__(self) -> tuple:
        """Instances that go to another process are pasted on the CPU there."""
        return _paste_counts, ()


def _paste_counts() -> object:
    return on_cpu.paste_counts


class _Worker:
    """A stream, and memory that grows to the most masks. Used by one thread at a time."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._stream = Stream(gpu)
        self._device: DeviceMemory | None = None
        self._host: PinnedMemory | None = None

    def paste(
        self, boxes: np.ndarray, mask_probabilities: np.ndarray, image_size: tuple[int, int], paste: Paste
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return all run lengths, and how many belong to each mask, both int64."""
        capacity = _usual_counts(boxes, image_size[1])
        while True:
            counts, lengths, total = self._try(boxes, mask_probabilities, image_size, paste, capacity)
            if total <= capacity:
                return counts[:total].astype(np.int64), lengths.astype(np.int64)
            capacity = total  # masks with many holes

    def _try(
        self,
        boxes: np.ndarray,
        mask_probabilities: np.ndarray,
        image_size: tuple[int, int],
        paste: Paste,
        capacity: int,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        number = len(boxes)
        workspace_bytes = paste_rle_workspace_bytes(number, image_size[1])
        inputs = {"boxes": Spec(_FLOAT32, boxes.shape), "masks": Spec(_FLOAT32, mask_probabilities.shape)}
        outputs = {
            "total": Spec(_INT64, (1,)),
            "lengths": Spec(_INT32, (number,)),
            "counts": Spec(_UINT32, (capacity,)),
        }
        sent, received = Block(inputs), Block(outputs)
        host, device = self._memory(sent.size + received.size, sent.size + received.size + aligned(workspace_bytes))

        def on_gpu(block: Block, start: int, name: str, spec: Spec) -> DeviceArray:
            return DeviceArray(device.address + start + block.offsets[name], spec.dtype, spec.shape)

        views = sent.views(host.bytes[: sent.size])
        views["boxes"][...], views["masks"][...] = boxes, mask_probabilities
        try:
            self._stream.copy_to_device(device.address, host.address, sent.size)
            paste_rle(
                on_gpu(sent, 0, "boxes", inputs["boxes"]),
                on_gpu(sent, 0, "masks", inputs["masks"]),
                image_size,
                on_gpu(received, sent.size, "counts", outputs["counts"]),
                on_gpu(received, sent.size, "lengths", outputs["lengths"]),
                on_gpu(received, sent.size, "total", outputs["total"]),
                DeviceArray(device.address + sent.size + received.size, _UINT8, (aligned(workspace_bytes),)),
                self._stream.handle,
                paste=paste,
            )
            self._stream.copy_to_host(host.address + sent.size, device.address + sent.size, received.size)
        finally:  # before anything else may touch the pinned memory
            self._stream.synchronize()
        found = received.views(host.bytes[sent.size :][: received.size])
        return found["counts"], found["lengths"], int(found["total"][0])

    def _memory(self, host_size: int, device_size: int) -> tuple[PinnedMemory, DeviceMemory]:
        if self._host is None or self._host.size < host_size:
            self._host = None  # freed before the larger one is asked for
            self._host = PinnedMemory(self._gpu, host_size)
        if self._device is None or self._device.size < device_size:
            self._device = None
            self._device = DeviceMemory(self._gpu, device_size)
        return self._host, self._device


def _usual_counts(boxes: np.ndarray, image_width: int) -> int:
    """Find room for two runs in each column that a box can touch; whoever has more is pasted twice."""
    with np.errstate(invalid="ignore", over="ignore"):
        widths = np.nan_to_num(np.clip(boxes[:, 2] - boxes[:, 0], 0, image_width))
    return int((4 * np.minimum(1.2 * widths + 4, image_width) + 2).sum())
