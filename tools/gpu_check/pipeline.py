"""Whole models on the GPU: the export's module with the project's kernels, beside torchvision's own.

The module is the one that is exported; run from torch, its convolutions are cuDNN's and not TensorRT's, all else is
what an engine does. Detections are compared with torchvision's own in FP32 in the same process, and, where a reference
came along (see `carried`), with what ONNX Runtime found in the exported file on a CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.export.families.base import family_of
from maskrt.export.rcnn.graph import InferenceGraph
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.tools.gpu_check.carried import REFERENCE, SHAPES_STATE
from maskrt.tools.gpu_check.operators import kernels_as_operators
from maskrt.tools.gpu_check.part import Report, require_gpu
from maskrt.tools.kernel_benchmark.timing import kernel_times, median_and_spread

_LEAST_SCORE = 0.05


def run(report: Report) -> None:
    """Measure each model; one that cannot be had here is left out, with the reason."""
    require_gpu()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for name, make in MODELS.items():
        try:
            model, images, sizes, expected = make(report)
        except (ImportError, OSError) as error:
            report.add(name, {"left_out": f"{type(error).__name__}: {error}"})
            continue
        with torch.inference_mode():
            measure(report, name, model.cuda().eval(), images.cuda(), sizes.cuda(), expected)


def measure(
    report: Report,
    name: str,
    model: nn.Module,
    images: Tensor,
    sizes: Tensor,
    expected: Mapping[str, np.ndarray] | None,
) -> None:
    """Measure one model on one batch.

    Args:
        report: takes the results.
        name: of the model in the results.
        model: of torchvision, on the device.
        images: [B, H, W, 3] uint8, on the device.
        sizes: [B, 2] int32, height and width of each image on the canvas.
        expected: what ONNX Runtime found, by the names of the file's outputs; None where it is not known.
    """
    found: dict[str, Any] = {}

    def add(key: str, value: Any) -> None:
        found[key] = value
        report.add(name, found)

    reference = _measure_torchvision(add, model, images, sizes)
    for precision in ("fp32", "fp16"):
        module = export_module(model, half=precision == "fp16")
        thresholds = [torch.full((len(images), 1), value, device=images.device) for value in (_LEAST_SCORE, 0.5)]
        with kernels_as_operators() as places:
            add("operators", places)
            call = partial(module, images, sizes, *thresholds)
            _measure_export(add, f"ours_{precision}", call, reference, expected)
            try:
                add(f"ours_{precision}_stages_us", stage_times(module, call))
            except RuntimeError as error:
                add(f"ours_{precision}_stages", f"they cannot be captured: {error}")


_Add = Callable[[str, Any], None]


def _measure_torchvision(add: _Add, model: nn.Module, images: Tensor, sizes: Tensor) -> list[Detections]:
    """Measure the model itself; twice, since what differs between two runs is noise. Returns its detections in FP32."""
    pictures = pictures_of(images, sizes)
    half = copy.deepcopy(model).half().eval()
    half_pictures = [picture.half() for picture in pictures]
    reference = [_of_torchvision(result) for result in model(pictures)]
    add("detections", [len(one) for one in reference])
    add("torchvision_fp32_again", differences(reference, [_of_torchvision(result) for result in model(pictures)]))
    add("torchvision_fp32_us", [median_and_spread(partial(up_to_masks, model, pictures)) for _ in range(3)])
    add("torchvision_fp32_pasting_us", median_and_spread(partial(model, pictures)))
    try:
        found = [_of_torchvision(result) for result in half(half_pictures)]
        add("torchvision_fp16", differences(reference, found))
        add("torchvision_fp16_us", median_and_spread(partial(up_to_masks, half, half_pictures)))
    except RuntimeError as error:  # some versions mix types in it
        add("torchvision_fp16", f"it fails: {error}")
    return reference


def up_to_masks(model: Any, pictures: Sequence[Tensor]) -> Any:
    """Call torchvision's model up to mask probabilities, where an engine ends: by itself it pastes them, too."""
    images, _ = model.transform(pictures)
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    return model.roi_heads(features, proposals, images.image_sizes)


def pictures_of(images: Tensor, sizes: Tensor) -> list[Tensor]:
    """Cut the pictures out of their canvases, as torchvision takes them: [3, h, w] float32, 0 to 1."""
    return [
        image[:height, :width].permute(2, 0, 1).float() / 255
        for image, (height, width) in zip(images, sizes.tolist(), strict=True)
    ]


def _measure_export(
    add: _Add,
    key: str,
    call: Callable[[], Sequence[Tensor]],
    reference: Sequence[Detections],
    expected: Mapping[str, np.ndarray] | None,
) -> None:
    """Measure the export's module, called eagerly and from a graph."""
    outputs = call()
    add(key, differences(reference, _of_export(outputs)))
    if expected is not None:
        onnx = [torch.from_numpy(expected[name]) for name in ("num_detections", "boxes", "scores", "labels")]
        add(f"{key}_to_onnx_runtime", differences(_of_export(onnx), _of_export(outputs)))
    add(f"{key}_eager_us", median_and_spread(call))
    try:
        graph = capture(call)
    except RuntimeError as error:
        add(f"{key}_graph", f"it cannot be captured: {error}")
        return
    add(f"{key}_graph_us", median_and_spread(graph.replay))
    add(f"{key}_graph_kernels_us", kernel_times(graph.replay))


def stage_times(module: InferenceGraph, call: Callable[[], Any]) -> dict[str, dict[str, float]]:
    """Time what has weights, each in a graph of its own, on what it is given in a call of the module."""
    parts = module._parts
    stages = {"backbone": parts.backbone, "rpn_head": parts.rpn_head, "box_head": parts.box_heads[0]}
    if parts.mask_heads:
        stages["mask_head"] = parts.mask_heads[0]
    given: dict[str, tuple[Any, ...]] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, inputs: given.update({name: inputs})

    hooks = [stage.register_forward_pre_hook(keep(name)) for name, stage in stages.items()]
    call()
    for hook in hooks:
        hook.remove()
    return {name: median_and_spread(capture(partial(stage, *given[name])).replay) for name, stage in stages.items()}


def capture(function: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """Capture a call as a CUDA graph, after calls that are not captured, which torch asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph


class _Half(nn.Module):
    """A module in float16 between float32 ones."""

    def __init__(self, module: nn.Module, results: torch.dtype) -> None:
        super().__init__()
        self._module, self._results = module.half(), results

    def forward(self, *inputs: Any) -> Any:
        return _to(self._module(*_to(inputs, torch.float16)), self._results)


def _to(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: _to(item, dtype) for key, item in value.items()}
    return type(value)(_to(item, dtype) for item in value)


def export_module(model: nn.Module, *, half: bool) -> InferenceGraph:
    """Make the module that `maskrt export` exports of a model; `half`: its layers in float16, channels last.

    As in a file of precision fp16, box arithmetic and scores stay float32.
    """
    copied = copy.deepcopy(model).eval()
    family = family_of(copied)
    spec, parts = family.spec(copied), family.modules(copied)
    graph = InferenceGraph(spec, parts, copied).to(next(model.parameters()).device).eval()
    if half:
        copied.to(memory_format=torch.channels_last)
        graph._parts = RcnnModules(
            backbone=_Half(parts.backbone, torch.float16),
            rpn_head=_Half(parts.rpn_head, torch.float32),
            box_heads=tuple(_Half(head, torch.float32) for head in parts.box_heads),
            mask_heads=tuple(_Half(head, torch.float32) for head in parts.mask_heads),
            keypoint_head=None if parts.keypoint_head is None else _Half(parts.keypoint_head, torch.float32),
        )
    return graph


def differences(reference: Sequence[Detections], candidate: Sequence[Detections]) -> dict[str, Any]:
    """Say how far the detections of a batch are from those of a reference, in pixels of the canvas."""
    missing = extra = pairs = 0
    boxes, scores = [0.0], [0.0]
    for one, other in zip(reference, candidate, strict=True):
        matching = match_detections(one, other)
        missing += len(matching.missing)
        extra += len(matching.extra)
        pairs += len(matching.pairs)
        mine, its = matching.pairs.T
        boxes += np.abs(one.boxes[mine] - other.boxes[its]).max(axis=1, initial=0).tolist()
        scores += np.abs(one.scores[mine] - other.scores[its]).tolist()
    return {
        "pairs": pairs,
        "missing": missing,
        "extra": extra,
        "box_px": {"max": max(boxes), "p90": float(np.quantile(boxes, 0.9))},
        "score": {"max": max(scores), "p90": float(np.quantile(scores, 0.9))},
    }


def _of_torchvision(result: Mapping[str, Tensor]) -> Detections:
    boxes, scores, labels = (result[key].float().cpu().numpy() for key in ("boxes", "scores", "labels"))
    return Detections(boxes, scores, labels.astype(np.int64))


def _of_export(outputs: Sequence[Tensor]) -> list[Detections]:
    number, boxes, scores, labels = (tensor.cpu().numpy() for tensor in outputs[:4])
    return [
        Detections(boxes[i, :n], scores[i, :n], labels[i, :n].astype(np.int64)) for i, n in enumerate(number.tolist())
    ]


_Made = tuple[nn.Module, Tensor, Tensor, Mapping[str, np.ndarray] | None]


def _shapes(report: Report) -> _Made:
    """Make the demo model, and the pictures and detections that came along; without these, a made-up picture."""
    from maskrt.shapes.model import build_model, shapes_model

    if (report.carried / SHAPES_STATE).is_file():
        model = build_model()
        model.load_state_dict(torch.load(report.carried / SHAPES_STATE, weights_only=True))
    else:
        model = shapes_model()
    if (report.carried / REFERENCE).is_file():
        with np.load(report.carried / REFERENCE) as file:
            arrays = dict(file)
        return model, torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["image_sizes"]), arrays
    return model, *made_up_picture(320, 448), None


def _resnet50(report: Report) -> _Made:
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    from maskrt.tools.drawn_weights import draw_weights

    images, sizes = made_up_picture(800, 1333)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    draw_weights(model, [images[0, :, :1333].permute(2, 0, 1).float() / 255])
    return model, images, sizes, None


MODELS: Mapping[str, Callable[[Report], _Made]] = {"shapes_320x448": _shapes, "r50_fpn_800x1344": _resnet50}
"""What makes each model, on the CPU, with a batch of pictures for it."""


def made_up_picture(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Draw a picture of rectangles on a gradient, and give it on its canvas: [1, H, W, 3] uint8, and [1, 2] int32."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1).astype(np.uint8)
    for _ in range(40):
        top, left = generator.integers(0, (height - 16, width - 16))
        bottom, right = top + generator.integers(16, height // 2), left + generator.integers(16, width // 2)
        picture[top:bottom, left:right] = generator.integers(0, 256, 3)
    canvas = np.zeros((1, -(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
    canvas[0, :height, :width] = picture
    return torch.from_numpy(canvas), torch.tensor([[height, width]], dtype=torch.int32)
