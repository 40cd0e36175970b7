"""A source model's own inference as a side of the benchmark, stopped between its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from maskrt.evaluation.bench.sides import Side, decode, limit_opencv_threads, work_of
from maskrt.evaluation.results import PYTORCH
from maskrt.export.exporter import weights_hash
from maskrt.export.families.base import load_source
from maskrt.export.reference import PictureDetections, Reference, best_device, encode_masks
from maskrt.options import SourceOptions


def open_source(options: SourceOptions, compiled: bool, threads: int | None) -> Side:
    """Open a source model, on the GPU where there is one.

    Args:
        options: name the model.
        compiled: False: eager, FP32. True: all layers with weights through `torch.compile`, and convolutions and
            matrix products in FP16 (autocast).
        threads: of PyTorch on the CPU; None: its own choice.

    Raises:
        MaskrtError: the model cannot be built or loaded.
    """
    limit_opencv_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)
    source = load_source(options)
    reference = source.reference(device=best_device(), compiled=compiled)
    resize = source.spec.pipeline.resize
    return Side(
        name=f"{PYTORCH} compiled" if compiled else PYTORCH,
        precision="fp16" if compiled else "fp32",
        backend=f"{PYTORCH} ({reference.device.type})",
        work=work_of(weights_hash(source.model), resize.min_size, resize.max_size),
        stages=_stages(reference),
    )


def _stages(reference: Reference) -> Sequence[Callable[[Any], Any]]:
    """One for each of `maskrt.evaluation.results.bench.STAGES`."""
    stages = (
        reference.preprocess,
        lambda canvas: (reference.infer(canvas), canvas),
        lambda detections_and_canvas: reference.postprocess(*detections_and_canvas),
        lambda results: [_encode(found) for found in results],
    )
    return [decode, *(_finished(stage, reference.device) for stage in stages)]


def _encode(found: PictureDetections) -> list[Any]:
    """Encode the masks of one image as COCO's run-length encoding, by pycocotools; else the boxes."""
    return list(found.boxes.tolist()) if found.masks is None else list(encode_masks(found.masks))


def _finished(stage: Callable[[Any], Any], device: torch.device) -> Callable[[Any], Any]:
    """Make the stage wait for what it started on the GPU."""

    def run(value: Any) -> Any:
        try:
            result = stage(value)
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error).partition("\n")[0]) from None  # this batch is too large, not the program wrong
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return run
