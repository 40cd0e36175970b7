"""The host build in the GPU's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from maskrt.plugins import (
    build,
    device,
    device_detections,
    device_proposals,
    host,
    host_detections,
    host_proposals,
    libraries,
)
from maskrt.plugins.attributes import RoiAlignAttributes
from maskrt.tools.gpu_check import operators


@pytest.fixture
def host_as_gpu(once: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the host build do the kernels' work, on tensors of the CPU; gives the names of what was called."""
    folder = once("host", lambda folder: build.build(folder, host_only=True))
    monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(folder))
    called: list[str] = []

    def roi_align(
        rois: Tensor,
        features: Sequence[Tensor],
        output: Tensor,
        attributes: RoiAlignAttributes,
        stream: int,
        *,
        order: Tensor,
    ) -> None:
        called.append(f"roi_align {features[0].dtype}")
        pooled = host.multilevel_roi_align(rois.numpy(), [feature.numpy() for feature in features], attributes)
        output.copy_(torch.from_numpy(pooled))

    monkeypatch.setattr(device, "multilevel_roi_align", roi_align)

    def propose(image_sizes: Tensor, canvas_size: Tensor, *others: Any) -> None:
        logits, deltas, num, proposals, _, attributes, _ = others
        called.append("proposals")
        maps = ([array.numpy() for array in arrays] for arrays in (logits, deltas))
        results = host_proposals.generate_proposals(image_sizes.numpy(), canvas_size.numpy(), *maps, attributes)
        for output, result in zip((num, proposals), results, strict=True):
            output.copy_(torch.from_numpy(result))

    def detect(*arguments: Any) -> None:
        *inputs, num, boxes, scores, labels, _, attributes, _ = arguments
        called.append("detections")
        results = host_detections.detection_output(*(tensor.numpy() for tensor in inputs), attributes)
        for output, result in zip((num, boxes, scores, labels), results, strict=True):
            output.copy_(torch.from_numpy(result))

    monkeypatch.setattr(device_proposals, "generate_proposals", propose)
    monkeypatch.setattr(device_proposals, "generate_proposals_workspace_bytes", lambda *_: 16)
    monkeypatch.setattr(device_detections, "detection_output", detect)
    monkeypatch.setattr(device_detections, "detection_output_workspace_bytes", lambda *_: 16)
    monkeypatch.setattr(operators, "_stream", lambda: 0)
    return called
