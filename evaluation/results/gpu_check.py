"""gpu-check.json: what `make gpu-check` found on a GPU, part by part, complete or not.

A part's results are what it had found when it ended, in a form of its own; `findings` reads those that are known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from maskrt.evaluation.environment import Environment
from maskrt.evaluation.results.schema import SchemaError, from_json

T = TypeVar("T")

Status = Literal["done", "skipped", "failed", "stopped", "not reached"]
"""How a part ended: `stopped` by its limit of time, `not reached` within the budget of all."""


@dataclass(frozen=True)
class PartRecord:
    """A part of the check.

    Attributes:
        status: how it ended.
        seconds: that it took.
        results: what it had found, by name.
        reason: why it did not come to its end.
    """

    status: Status
    seconds: float
    results: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class GpuCheck:
    """The content of gpu-check.json: `parts` by name, as far as the check has come."""

    environment: Environment
    parts: Mapping[str, PartRecord]


@dataclass(frozen=True)
class Microseconds:
    """The median of a time, and its first and last decile."""

    median: float
    p10: float
    p90: float

    def over(self, reference: Microseconds | None) -> float | None:
        """How many times faster this is than a reference; None where one of them is missing, or took no time."""
        return reference.median / self.median if reference is not None and self.median > 0 else None


@dataclass(frozen=True)
class Spread:
    """Of differences: the largest one, and that which nine of ten keep to; a text where they are no finite numbers."""

    max: float | str
    p90: float | str


@dataclass(frozen=True)
class Differences:
    """Detections beside those of a reference: how many match, and how far these are apart."""

    pairs: int
    missing: int
    extra: int
    box_px: Spread
    score: Spread


@dataclass(frozen=True)
class ModelRecord:
    """A whole model beside torchvision's; each field is there once its step was done.

    Attributes:
        left_out: why it was not measured at all.
        detections: torchvision's, of each image.
        torchvision_fp32_us, torchvision_fp16_us: up to mask probabilities, as ours; in FP32 three times over: how far
            they differ is noise.
        torchvision_fp32_pasting_us: with the masks pasted.
        torchvision_fp32_again, torchvision_fp16, ours_fp32, ours_fp16: detections beside torchvision's in FP32; a text
            where it does not run.
        ours_fp32_to_onnx_runtime, ours_fp16_to_onnx_runtime: the same beside ONNX Runtime's on a CPU.
        ours_fp32_graph, ours_fp16_graph: why there is no CUDA graph of it.
        ours_fp32_graph_kernels_us, ours_fp16_graph_kernels_us: by the name of the kernel.
        ours_fp32_stages_us, ours_fp16_stages_us: what has weights: backbone, rpn_head, box_head, mask_head.
        ours_fp32_stages, ours_fp16_stages: why there are no times of these.
    """

    left_out: str | None = None
    detections: tuple[int, ...] = ()
    torchvision_fp32_us: tuple[Microseconds, ...] = ()
    torchvision_fp16_us: Microseconds | None = None
    torchvision_fp32_pasting_us: Microseconds | None = None
    ours_fp32_eager_us: Microseconds | None = None
    ours_fp32_graph_us: Microseconds | None = None
    ours_fp16_eager_us: Microseconds | None = None
    ours_fp16_graph_us: Microseconds | None = None
    torchvision_fp32_again: Differences | None = None
    torchvision_fp16: Differences | str | None = None
    ours_fp32: Differences | None = None
    ours_fp16: Differences | None = None
    ours_fp32_to_onnx_runtime: Differences | None = None
    ours_fp16_to_onnx_runtime: Differences | None = None
    ours_fp32_graph: str | None = None
    ours_fp16_graph: str | None = None
    ours_fp32_graph_kernels_us: Mapping[str, float] = field(default_factory=dict)
    ours_fp16_graph_kernels_us: Mapping[str, float] = field(default_factory=dict)
    ours_fp32_stages_us: Mapping[str, Microseconds] = field(default_factory=dict)
    ours_fp16_stages_us: Mapping[str, Microseconds] = field(default_factory=dict)
    ours_fp32_stages: str | None = None
    ours_fp16_stages: str | None = None

    @property
    def torchvision_fp32(self) -> Microseconds | None:
        """The middle one of torchvision's times in FP32."""
        again = sorted(self.torchvision_fp32_us, key=lambda time: time.median)
        return again[len(again) // 2] if again else None


@dataclass(frozen=True)
class CompiledRecord:
    """torchvision's model, up to pasted masks, by itself and under torch.compile."""

    left_out: str | None = None
    eager_us: Microseconds | None = None
    compiled_us: Microseconds | None = None


@dataclass(frozen=True)
class KernelRecord:
    """A kernel beside what torchvision has for it.

    Attributes:
        ours_us, theirs_us: the GPU's time, without launching; theirs by the name of the way.
        fastest_of_theirs: which of these counts.
        speedup: of ours over it.
        floor_us, over_floor: the time of a copy of the bytes that have to be moved, and how many times that ours takes.
        max_difference_from_torchvision_fp32: of pooled features.
        largest_difference: of boxes, in pixels.
        max_difference_in_grey_levels, pixels_that_differ, kept_by_one_alone: as they say.
    """

    ours_us: Microseconds
    theirs_us: Mapping[str, Microseconds]
    fastest_of_theirs: str
    speedup: float
    floor_us: float | None = None
    over_floor: float | None = None
    max_difference_from_torchvision_fp32: float | str | None = None
    largest_difference: float | str | None = None
    max_difference_in_grey_levels: float | str | None = None
    pixels_that_differ: float | str | None = None
    kept_by_one_alone: float | str | None = None


@dataclass(frozen=True)
class GpuAp:
    """COCO's AP over IoU 0.50 to 0.95, and at two of them."""

    AP: float
    AP50: float
    AP75: float


@dataclass(frozen=True)
class AccuracyRecord:
    """AP of boxes and masks, and the changes of both against torchvision in FP32, by `bbox` and `segm`."""

    detections: int
    bbox: GpuAp
    segm: GpuAp
    minus_torchvision_fp32: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OutcomesRecord:
    """Tests: how many ended how, and by their names those that did not pass and those that were left out, with why."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    not_passed: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineRecord:
    """An engine that was built without a GPU: whether it loads and runs, what TensorRT said.

    Attributes:
        runs: the largest difference of each output from ONNX Runtime's, or why it does not run.
    """

    loads: bool
    has_context: bool
    log: tuple[str, ...] = ()
    runs: Mapping[str, float | str] | str | None = None


@dataclass(frozen=True)
class Findings:
    """What the parts found, by names; empty where a part did not come so far.

    Attributes:
        facts: of the GPU and its software.
        tests: by part.
        scenes: that accuracy was measured on.
        engines: by file; a text where loading ended the process.
        onnxruntime_us: of the exported demo model with ONNX Runtime's CUDA provider.
    """

    facts: Mapping[str, str]
    tests: Mapping[str, OutcomesRecord]
    models: Mapping[str, ModelRecord]
    compiled: Mapping[str, CompiledRecord]
    kernels: Mapping[str, KernelRecord]
    scenes: int | None
    accuracy: Mapping[str, AccuracyRecord | str]
    engines: Mapping[str, EngineRecord | str]
    onnxruntime_us: Microseconds | None


def findings(check: GpuCheck) -> Findings:
    """Read the results of the parts.

    Raises:
        SchemaError: one of them is not as its type says.
    """

    def of(part: str) -> Mapping[str, Any]:
        return check.parts[part].results if part in check.parts else {}

    def read(part: str, kind: type[T]) -> dict[str, T]:
        return {
            name: _at(f"parts.{part}.results.{name}", kind, entry)
            for name, entry in of(part).items()
            if isinstance(entry, Mapping)
        }

    def texts(part: str) -> dict[str, str]:
        return {name: entry for name, entry in of(part).items() if isinstance(entry, str)}

    engines = {name: entry for name, entry in texts("rtx").items() if name.endswith(".engine")}
    return Findings(
        facts={name: str(fact) for name, fact in of("machine").items() if fact is not None},
        tests={
            name: _at(f"parts.{name}.results", OutcomesRecord, part.results)
            for name, part in check.parts.items()
            if "outcomes" in part.results
        },
        models=read("pipeline", ModelRecord),
        compiled=read("compiled", CompiledRecord),
        kernels=read("kernels-fast", KernelRecord),
        scenes=_at("parts.accuracy.results", _Scenes, of("accuracy")).scenes,
        accuracy={**read("accuracy", AccuracyRecord), **texts("accuracy")},
        engines={**read("rtx", EngineRecord), **engines},
        onnxruntime_us=_at("parts.onnxruntime.results", _OnnxRuntime, of("onnxruntime")).us,
    )


@dataclass(frozen=True)
class _Scenes:
    scenes: int | None = None


@dataclass(frozen=True)
class _OnnxRuntime:
    us: Microseconds | None = None


def _at(place: str, kind: type[T], content: Any) -> T:
    try:
        return from_json(kind, content)
    except SchemaError as error:
        raise SchemaError(f"in {place}, {error}") from None
