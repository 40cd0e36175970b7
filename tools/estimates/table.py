"""The estimates as a table in Markdown, with measured times beside them where a GPU gave some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx

from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.errors import ArgumentError
from maskrt.evaluation.results.files import kind_of, read_result
from maskrt.evaluation.results.gpu_check import GpuCheck, findings
from maskrt.tools.estimates.gpus import GPUS, Gpu
from maskrt.tools.estimates.launches import Launch
from maskrt.tools.estimates.shapes import Shapes
from maskrt.tools.estimates.stages import BOX_HEAD, MASK_HEAD, MATRIX_STAGES, RPN_HEAD, stages_of

_MODEL = "r50_fpn_800x1344"
_KERNELS = {
    "GenerateProposals": "generate_proposals_fp16",
    "DetectionOutput": "detection_output_fp16",
    "RoIAlign of proposals": "multilevel_roi_align_fp16",
}
"""By stage: the benchmark of gpu-check that measures it."""

_LAYERS = {RPN_HEAD: "rpn_head", BOX_HEAD: "box_head", MASK_HEAD: "mask_head"}
"""By stage: what gpu-check measures of it with torch's layers. Of the backbone it measures more than one stage."""

_ALL, _REST = "**all**", "**all but convolutions, matrix products**"


def estimates_table(model: onnx.ModelProto, canvas: tuple[int, int], measured: Sequence[Path] = ()) -> str:
    """Estimate an FP32 file, once it is FP16, for one image.

    Args:
        model: an exported file.
        canvas: height and width.
        measured: results of `maskrt.tools.gpu_check`.

    Returns:
        A row for each stage: kernels, what they read and write, what they compute; microseconds for each GPU, at the
        least and to expect; and what was measured.

    Raises:
        ModelError: it is not a file that maskrt exported.
        ArgumentError: a result cannot be read.
    """
    graph = convert_to_fp16(model).graph
    stages = stages_of(graph, Shapes(graph, 1, canvas))
    columns = [_read_measured(path) for path in measured]
    header = ["stage", "kernels", "MB", "GFLOP"]
    header += [f"{gpu.name} {kind}" for gpu in GPUS for kind in ("at least", "expected")]
    header += [f"{name} measured" for name, _ in columns]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    everything = [launch for launches in stages.values() for launch in launches]
    rest = [launch for stage, launches in stages.items() if stage not in MATRIX_STAGES for launch in launches]
    for name, launches in (*stages.items(), (_REST, rest), (_ALL, everything)):
        rows.append([name, *_numbers(launches), *(_microseconds(times, name) for _, times in columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _numbers(launches: Sequence[Launch]) -> Iterable[str]:
    yield str(sum(launch.kernels for launch in launches))
    yield f"{sum(launch.bytes for launch in launches) / 1e6:.1f}"
    yield f"{sum(launch.flops for launch in launches) / 1e9:.1f}"
    for gpu in GPUS:
        yield from _times(gpu, launches)


def _times(gpu: Gpu, launches: Sequence[Launch]) -> Iterable[str]:
    for time_of in (gpu.floor, gpu.expected):
        yield f"{sum(map(time_of, launches)) * 1e6:.0f}"


def _microseconds(times: Mapping[str, float], stage: str) -> str:
    return f"{times[stage]:.0f}" if stage in times else ""


def _read_measured(path: Path) -> tuple[str, Mapping[str, float]]:
    """Read the GPU's name and, by stage, the medians in microseconds."""
    check = read_result(path)
    if not isinstance(check, GpuCheck):
        raise ArgumentError(f"{path} has results of {kind_of(check)}, but measured times are those of gpu-check.")
    found = findings(check)
    times = {stage: found.kernels[key].ours_us.median for stage, key in _KERNELS.items() if key in found.kernels}
    whole = found.models.get(_MODEL)
    if whole is not None:
        layers = whole.ours_fp16_stages_us
        times |= {stage: layers[key].median for stage, key in _LAYERS.items() if key in layers}
        if whole.ours_fp16_graph_us is not None:
            times[_ALL] = whole.ours_fp16_graph_us.median
    return found.facts.get("device", check.environment.device), times
