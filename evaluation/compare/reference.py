"""The source model as the reference: what it finds in an image, and its tensors at the points of a file."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from polygraphy.backend.base import BaseRunner
from polygraphy.common import TensorMetadata
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from maskrt.errors import ArgumentError
from maskrt.evaluation.compare.points import Point


@torch.inference_mode()
def preprocess(model: FasterRCNN, image: np.ndarray) -> np.ndarray:
    """What torchvision makes of an image `[H,W,3]` uint8 before the network, as grey levels 0–255 `[1,H,W,3]` float32;
    the padding is zero."""
    transform = model.transform
    batch, _ = transform([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    height, width = batch.image_sizes[0]
    mean, std = (torch.tensor(values)[:, None, None] for values in (transform.image_mean, transform.image_std))
    levels = torch.zeros_like(batch.tensors)
    levels[..., :height, :width] = (batch.tensors[..., :height, :width] * std + mean) * 255
    return levels.permute(0, 2, 3, 1).numpy()


class TorchRunner(BaseRunner):
    """The source model's own inference on a canvas, as a Polygraphy runner.

    Takes the inputs `images` `[1,H,W,3]` and `image_sizes` `[1,2]` of the exported file. Gives, as float32 arrays,
    `proposals` `[r,4]` and `boxes` `[k,4]` (xyxy, canvas pixels, best score first) and the tensor of each point by its
    name; those with a row per RoI have r or k rows.
    """

    def __init__(self, model: FasterRCNN, points: Sequence[Point], images_dtype: np.dtype) -> None:
        """`model` in evaluation mode, left as it is; `images_dtype` uint8 or float32."""
        super().__init__(name="PyTorch")
        self._model = model
        self._points = points
        self._images_dtype = images_dtype

    def get_input_metadata_impl(self) -> Any:
        images = TensorMetadata().add("images", self._images_dtype, (1, None, None, 3))
        return images.add("image_sizes", np.dtype(np.int32), (1, 2))

    @torch.inference_mode()
    def infer_impl(self, feed_dict: dict[str, np.ndarray]) -> OrderedDict[str, np.ndarray]:
        start = time.perf_counter()
        model = self._model
        height, width = feed_dict["image_sizes"][0].tolist()
        canvas = torch.from_numpy(feed_dict["images"]).permute(0, 3, 1, 2).float() / 255
        valid = canvas[:, :, :height, :width]
        batch = torch.zeros_like(canvas)
        batch[:, :, :height, :width] = torch.stack([model.transform.normalize(image) for image in valid])
        with _Recorder(model, {point.module for point in self._points}) as recorder:
            images = ImageList(batch, [(height, width)])
            features = model.backbone(batch)
            proposals, _ = model.rpn(images, features)
            detections, _ = model.roi_heads(features, proposals, images.image_sizes)
        outputs = OrderedDict((point.name, recorder.output(point)) for point in self._points)
        outputs["proposals"], outputs["boxes"] = proposals[0].numpy(), detections[0]["boxes"].numpy()
        self.inference_time = time.perf_counter() - start
        return outputs


class _Recorder:
    """Keeps the outputs of modules while they run.

    The exporter folds batch normalisation into the convolution before it. So where a normalisation reads a convolution
    that runs once, its output takes the place of the convolution's, the rule of `maskrt.export.fold`.
    """

    def __init__(self, model: nn.Module, wanted: set[str]) -> None:
        self._modules = [(name, module) for name, module in model.named_modules() if name in wanted]
        self._norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
        self._outputs: dict[str, list[np.ndarray]] = defaultdict(list)
        self._latest: dict[int, tuple[Tensor, str]] = {}  # the tensor is kept, so that its id stays its own
        self._normalized: dict[str, np.ndarray] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> _Recorder:
        for name, module in self._modules:
            self._handles.append(module.register_forward_hook(self._keeper(name)))
        self._handles += [norm.register_forward_hook(self._after_norm) for norm in self._norms]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def output(self, point: Point) -> np.ndarray:
        outputs = self._outputs[point.module]
        if point.call >= len(outputs):
            raise ArgumentError(
                f"The file was not exported from this PyTorch model: it has {point.name}, which the model does not "
                "run. Name the model that it was exported from, as for `maskrt export`."
            )
        return self._normalized.get(point.module, outputs[0]) if len(outputs) == 1 else outputs[point.call]

    def _keeper(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._outputs[name].append(output.numpy().copy())  # what follows may work in place
            self._latest[id(output)] = output, name

        return keep

    def _after_norm(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if id(inputs[0]) in self._latest:
            self._normalized[self._latest[id(inputs[0])][1]] = output.numpy().copy()
