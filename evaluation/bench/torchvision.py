"""torchvision's own inference as a side of the benchmark: its `forward`, stopped between its parts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from maskrt.evaluation.bench.sides import Side, decode, limit_opencv_threads, work_of
from maskrt.evaluation.results import PYTORCH
from maskrt.evaluation.source_model import load_source
from maskrt.export.exporter import weights_hash
from maskrt.options import SourceOptions


def open_torchvision(source: SourceOptions, compiled: bool, threads: int | None) -> Side:
    """A torchvision Mask R-CNN or Faster R-CNN, on the GPU where there is one.

    Args:
        source: names the model.
        compiled: False: eager, FP32. True: all layers with weights through `torch.compile`, and convolutions and
            matrix products in FP16 (autocast).
        threads: of PyTorch on the CPU; None: its own choice.

    Raises:
        MaskrtError: the model cannot be built or loaded.
    """
    limit_opencv_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)
    model = load_source(source).model
    work = work_of(weights_hash(model), int(model.transform.min_size[-1]), int(model.transform.max_size))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Side(
        name=f"{PYTORCH} compiled" if compiled else PYTORCH,
        precision="fp16" if compiled else "fp32",
        backend=f"PyTorch ({device.type})",
        work=work,
        stages=_stages(model.to(device), device, compiled),
    )


@dataclass(frozen=True)
class _Batch:
    images: ImageList
    original_sizes: list[tuple[int, int]]


def _stages(model: Any, device: torch.device, compiled: bool) -> Sequence[Callable[[Any], Any]]:
    """`STAGES` of `torchvision.models.detection.generalized_rcnn.GeneralizedRCNN.forward`."""
    heads = model.roi_heads
    if compiled:
        # What has weights; between them, shapes follow from the data, which breaks graphs and compiles without end.
        of_boxes, of_masks = (heads.box_head, heads.box_predictor), (heads.mask_head, heads.mask_predictor)
        for part in (model.backbone, model.rpn.head, *of_boxes, *of_masks):
            if part is not None:
                part.compile()

    def preprocess(arrays: list[np.ndarray]) -> _Batch:
        tensors = [torch.from_numpy(array).to(device).permute(2, 0, 1).float() / 255 for array in arrays]
        images, _ = model.transform(tensors)
        return _Batch(images, [(array.shape[0], array.shape[1]) for array in arrays])

    def infer(batch: _Batch) -> tuple[list[dict[str, Tensor]], _Batch]:
        images = batch.images
        with torch.autocast(device.type, dtype=torch.float16, enabled=compiled):
            features = model.backbone(images.tensors)
            if isinstance(features, Tensor):
                features = OrderedDict([("0", features)])
            proposals, _ = model.rpn(images, features)
            detections, _ = heads(features, proposals, images.image_sizes)
        return detections, batch

    def postprocess(detections_and_batch: tuple[list[dict[str, Tensor]], _Batch]) -> list[dict[str, Tensor]]:
        detections, batch = detections_and_batch
        return model.transform.postprocess(detections, batch.images.image_sizes, batch.original_sizes)

    def encode(outputs: list[dict[str, Tensor]]) -> list[list[Any]]:
        return [_encode(output) for output in outputs]

    return [decode, *(_finished(stage, device) for stage in (preprocess, infer, postprocess, encode))]


def _encode(output: dict[str, Tensor]) -> list[Any]:
    """The masks of one image, cut at 0.5, as COCO's run-length encoding, by pycocotools; else the boxes."""
    if "masks" not in output:
        return list(output["boxes"].tolist())
    masks = (output["masks"][:, 0] > 0.5).cpu().numpy()
    return [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def _finished(stage: Callable[[Any], Any], device: torch.device) -> Callable[[Any], Any]:
    """The stage, without gradients, waiting for what it started on the GPU."""

    @torch.inference_mode()
    def run(value: Any) -> Any:
        try:
            result = stage(value)
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error).partition("\n")[0]) from None  # this batch is too large, not the program wrong
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return run
