"""Bringing images from the host onto the canvas in GPU memory.

Raw images are resized there with the arithmetic of the model's filter, bit by bit to the same canvas: the CPU is spared
the slowest part of preprocessing.
"""

from __future__ import annotations

import numpy as np

from maskrt.errors import ArgumentError, ModelError
from maskrt.plugins.device import DeviceError, resize_pad, resize_pad_workspace_bytes
from maskrt.runtime.backends.tensorrt.blocks import Block, Spec
from maskrt.runtime.cuda.arrays import DeviceArray, is_device_array, open_device_array
from maskrt.runtime.cuda.device import DeviceMemory, Gpu, PinnedMemory, Stream
from maskrt.runtime.transforms.canvas import Frames


class ImageLoader:
    """Loads images on one stream, by way of memory that grows to the largest batch."""

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu = gpu
        self._stream = stream
        self._device: DeviceMemory | None = None
        self._scratch: DeviceMemory | None = None
        self._host: PinnedMemory | None = None

    def copy(self, images: np.ndarray, canvas: DeviceArray) -> None:
        """Queue copying a canvas to the GPU. The array may be changed when this returns.

        Raises:
            OutOfMemory, CudaError: the GPU failed.
        """
        host = self._pinned(images.nbytes)
        host.bytes[: images.nbytes].view(images.dtype).reshape(images.shape)[...] = images
        self._stream.copy_to_device(canvas.address, host.address, images.nbytes)

    def resize(self, frames: Frames, canvas: DeviceArray) -> list[DeviceArray]:
        """Queue copying raw images to the GPU, where they are not there already, and resizing them onto the canvas.

        Args:
            frames: the images. May be changed when this returns, except for those on the GPU.
            canvas: [B, H, W, 3], written whole.

        Returns:
            The images on the GPU, to be kept until the stream is done.

        Raises:
            OutOfMemory, CudaError: the GPU failed.
            ArgumentError: an image on the GPU is none.
            ModelError: the plugin library failed.
        """
        from_host = {str(i): image for i, image in enumerate(frames.images) if not is_device_array(image)}
        block = Block({name: Spec(image.dtype, image.shape) for name, image in from_host.items()})
        address = self._copy_block(block, from_host) if from_host else 0
        sources = []
        for i, image in enumerate(frames.images):
            if str(i) in from_host:
                sources.append(DeviceArray(address + block.offsets[str(i)], image.dtype, image.shape))
            else:
                sources.append(open_device_array(image, self._gpu, self._stream))
        try:
            workspace = self._workspace(frames)
            resize_pad(sources, frames.sizes, canvas, self._stream.handle, filter=frames.filter, workspace=workspace)
        except ValueError as error:
            raise ArgumentError(f"An image on the GPU cannot be used: {error}.") from None
        except DeviceError as error:
            raise ModelError(f"The images could not be resized on the GPU: {error}. Run `make plugins`.") from None
        return sources

    def _copy_block(self, block: Block, images: dict[str, np.ndarray]) -> int:
        """Queue copying images to the GPU as one; the address of the block there."""
        host = self._pinned(block.size)
        for name, view in block.views(host.bytes[: block.size]).items():
            view[...] = images[name]
        if self._device is None or self._device.size < block.size:
            self._device = None  # freed before the larger one is asked for
            self._device = DeviceMemory(self._gpu, block.size)
        self._stream.copy_to_device(self._device.address, host.address, block.size)
        return self._device.address

    def _workspace(self, frames: Frames) -> DeviceArray | None:
        sizes = [(image.shape[0], image.shape[1]) for image in frames.images]
        needed = resize_pad_workspace_bytes(sizes, frames.sizes, frames.filter)
        if not needed:
            return None
        if self._scratch is None or self._scratch.size < needed:
            self._scratch = None  # freed before the larger one is asked for
            self._scratch = DeviceMemory(self._gpu, needed)
        return DeviceArray(self._scratch.address, np.dtype(np.uint8), (self._scratch.size,))

    def _pinned(self, size: int) -> PinnedMemory:
        if self._host is None or self._host.size < size:
            self._host = None
            self._host = PinnedMemory(self._gpu, size)
        return self._host
