"""The tables of what a GPU showed: tests, whole models, accuracy, kernels, engines."""

from __future__ import annotations

from collections.abc import Iterator

from maskrt.evaluation.report import figures
from maskrt.evaluation.report.document import Block, Bullets, Cell, Table, table_of
from maskrt.evaluation.results.gpu_check import (
    CompiledRecord,
    Differences,
    Findings,
    KernelRecord,
    Microseconds,
    ModelRecord,
    OutcomesRecord,
    Spread,
)

_DIFFERENCES = {
    "max_difference_from_torchvision_fp32": "{} from FP32",
    "largest_difference": "{} px",
    "max_difference_in_grey_levels": "{} grey levels",
    "pixels_that_differ": "{} pixels",
    "kept_by_one_alone": "{} boxes",
}
"""The fields of `KernelRecord` that say how far a kernel's result is from torchvision's."""


def tests(found: Findings) -> Iterator[Block]:
    """Show how many tests passed, by part, and name the others."""
    if not found.tests:
        return
    outcomes = list(dict.fromkeys(outcome for entry in found.tests.values() for outcome in entry.outcomes))
    rows: list[dict[str, str | Cell]] = [
        {
            "Part": part,
            **{outcome: str(entry.outcomes.get(outcome, 0)) for outcome in outcomes},
            "left out": str(len(entry.left_out)),
        }
        for part, entry in found.tests.items()
    ]
    yield table_of("Tests on the GPU", rows)
    items = [item for part, entry in found.tests.items() for item in _wrong(part, entry)]
    if items:
        yield Bullets(items)


def _wrong(part: str, entry: OutcomesRecord) -> Iterator[str | Cell]:
    for name, reason in entry.not_passed.items():
        yield Cell(f"{part}: {name}: {reason}", "bad")
    for name, reason in entry.left_out.items():
        yield f"{part}: {name} was left out: {reason}"


def models(found: Findings) -> Iterator[Block]:
    """Show the latency of each whole model beside torchvision's, its detections, and its kernels."""
    for name, model in found.models.items():
        remarks: list[str | Cell] = []
        if model.left_out is not None:
            remarks.append(f"{name} was left out: {model.left_out}")
        if isinstance(model.torchvision_fp16, str):
            remarks.append(f"torchvision in FP16: {model.torchvision_fp16}")
        for side, text in (("FP32", model.ours_fp32_graph), ("FP16", model.ours_fp16_graph)):
            if text is not None:
                remarks.append(Cell(f"maskrt in {side} as a CUDA graph: {text}", "bad"))
        for side, text in (("FP32", model.ours_fp32_stages), ("FP16", model.ours_fp16_stages)):
            if text is not None:
                remarks.append(Cell(f"Stages of maskrt in {side}: {text}", "bad"))
        rows = list(_latency(model, found.compiled.get(name)))
        if rows:
            yield table_of(f"{name}: a batch on the GPU, from the canvas to mask probabilities", rows)
        if len(model.torchvision_fp32_us) > 1:
            times = ", ".join(f"{_ms(time)} ms" for time in model.torchvision_fp32_us)
            remarks.append(f"torchvision in FP32, timed again and again: {times}. The difference is noise.")
        stages = [
            [stage, *(_ms(times.get(stage)) for times in (model.ours_fp32_stages_us, model.ours_fp16_stages_us))]
            for stage in {**model.ours_fp32_stages_us, **model.ours_fp16_stages_us}
        ]
        if stages:
            caption = f"{name}: maskrt's stages that have weights, by torch's layers, each as a CUDA graph"
            yield Table(caption, ["Stage", "FP32 ms", "FP16 ms"], stages)
        rows = list(_detections(model))
        if rows:
            yield table_of(f"{name}: detections beside torchvision's in FP32", rows)
        if remarks:
            yield Bullets(remarks)
        for side, kernels_us in (
            ("FP32", model.ours_fp32_graph_kernels_us),
            ("FP16", model.ours_fp16_graph_kernels_us),
        ):
            if kernels_us:
                of_kernels = [[kernel, figures.number(time)] for kernel, time in kernels_us.items()]
                yield Table(f"{name}: kernels in {side}", ["Kernel", "µs"], of_kernels, folded=True)


def _latency(model: ModelRecord, compiled: CompiledRecord | None) -> Iterator[dict[str, str | Cell]]:
    theirs = model.torchvision_fp32
    sides = {
        "torchvision, FP32": theirs,
        "torchvision, FP32, masks pasted": model.torchvision_fp32_pasting_us,
        "torchvision, FP32, masks pasted, torch.compile": None if compiled is None else compiled.compiled_us,
        "torchvision, FP16": model.torchvision_fp16_us,
        "maskrt, FP32": model.ours_fp32_eager_us,
        "maskrt, FP32, CUDA graph": model.ours_fp32_graph_us,
        "maskrt, FP16": model.ours_fp16_eager_us,
        "maskrt, FP16, CUDA graph": model.ours_fp16_graph_us,
    }
    for side, time in sides.items():
        if time is not None:
            yield {
                "Side": side,
                "Median ms": _ms(time),
                "First decile": figures.number(time.p10 / 1000),
                "Last decile": figures.number(time.p90 / 1000),
                "× torchvision FP32": _ratio(theirs, time),
                "× torchvision FP16": _ratio(model.torchvision_fp16_us, time),
            }


def _ms(time: Microseconds | None) -> str:
    return figures.NONE if time is None else figures.number(time.median / 1000)


def _ratio(reference: Microseconds | None, time: Microseconds) -> str:
    return figures.NONE if reference is time else figures.times(time.over(reference))


def _detections(model: ModelRecord) -> Iterator[dict[str, str | Cell]]:
    sides = {
        "torchvision, FP32, again": model.torchvision_fp32_again,
        "torchvision, FP16": model.torchvision_fp16,
        "maskrt, FP32": model.ours_fp32,
        "maskrt, FP16": model.ours_fp16,
        "maskrt, FP32, beside ONNX Runtime's": model.ours_fp32_to_onnx_runtime,
        "maskrt, FP16, beside ONNX Runtime's": model.ours_fp16_to_onnx_runtime,
    }
    for side, found in sides.items():
        if isinstance(found, Differences):
            yield {
                "Side": side,
                "Found again": str(found.pairs),
                "Missing": str(found.missing),
                "Extra": str(found.extra),
                "Box px, nine of ten / all ≤": _spread(found.box_px),
                "Score ≤": _spread(found.score),
            }


def _spread(spread: Spread) -> str | Cell:
    text = f"{_number(spread.p90)} / {_number(spread.max)}"
    return Cell(text, "bad") if isinstance(spread.max, str) else text


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else figures.number(value)


def accuracy(found: Findings) -> Iterator[Block]:
    """Show AP on the held-out scenes, and the changes against torchvision in FP32."""
    rows: list[dict[str, str | Cell]] = []
    remarks: list[str | Cell] = []
    for name, entry in found.accuracy.items():
        side, _, precision = name.partition("_")
        title = f"{'maskrt' if side == 'ours' else side}, {precision.upper()}"
        if isinstance(entry, str):
            remarks.append(f"{title}: {entry}")
            continue
        reference = {kind: getattr(entry, kind).AP - change for kind, change in entry.minus_torchvision_fp32.items()}
        rows.append(
            {
                "Side": title,
                "Box AP": figures.ap(entry.bbox.AP),
                "Δ box AP": figures.ap_change(entry.bbox.AP, reference.get("bbox")),
                "Box AP50": figures.ap(entry.bbox.AP50),
                "Mask AP": figures.ap(entry.segm.AP),
                "Δ mask AP": figures.ap_change(entry.segm.AP, reference.get("segm")),
                "Mask AP50": figures.ap(entry.segm.AP50),
                "Detections": str(entry.detections),
            }
        )
    if rows:
        of = "" if found.scenes is None else f" of the demo model on {figures.count(found.scenes, 'held-out scene')}"
        yield table_of(f"AP{of}, from the picture to pasted masks", rows)
    if remarks:
        yield Bullets(remarks)


def kernels(found: Findings) -> Iterator[Block]:
    """Show each kernel beside torchvision's fastest way and its floor."""
    rows: list[dict[str, str | Cell]] = [
        {
            "Kernel": name,
            "µs": figures.number(kernel.ours_us.median),
            "torchvision µs": _theirs(kernel),
            "Faster by": figures.times(kernel.speedup),
            "Floor µs": figures.number(kernel.floor_us),
            "× floor": figures.times(kernel.over_floor),
            "Differs by at most": _difference(kernel),
        }
        for name, kernel in found.kernels.items()
    ]
    if rows:
        yield table_of("Kernels beside torchvision's fastest way, without the time to launch them", rows)


def _theirs(kernel: KernelRecord) -> str:
    time = kernel.theirs_us.get(kernel.fastest_of_theirs)
    shown = figures.NONE if time is None else figures.number(time.median)
    return shown if len(kernel.theirs_us) < 2 else f"{shown} ({kernel.fastest_of_theirs})"


def _difference(kernel: KernelRecord) -> str | Cell:
    for name, text in _DIFFERENCES.items():
        value = getattr(kernel, name)
        if isinstance(value, str):
            return Cell(text.format(value), "bad")
        if value is not None:
            return text.format(figures.number(value))
    return figures.NONE


def engines(found: Findings) -> Iterator[Block]:
    """Show which engines that were built without a GPU load and run, and ONNX Runtime's time."""
    rows: list[dict[str, str | Cell]] = []
    for name, engine in found.engines.items():
        if isinstance(engine, str):
            rows.append({"Engine": name, "Loads": Cell(engine, "bad"), "Runs": figures.NONE, "It says": figures.NONE})
            continue
        runs: str | Cell = figures.NONE
        if isinstance(engine.runs, str):
            runs = Cell(engine.runs, "bad")
        elif engine.runs is not None:
            runs = "; ".join(f"{output} {_number(value)}" for output, value in engine.runs.items())
        loads = engine.loads and engine.has_context
        says = " ".join(engine.log) or figures.NONE
        loaded = Cell("yes", "good") if loads else Cell("no", "bad")
        rows.append({"Engine": name, "Loads": loaded, "Runs": runs, "It says": says})
    if rows:
        caption = "Engines that TensorRT-RTX built without a GPU; largest differences from ONNX Runtime's outputs"
        yield table_of(caption, rows)
    if found.onnxruntime_us is not None:
        yield Bullets([f"The demo model in ONNX Runtime's CUDA provider: {_ms(found.onnxruntime_us)} ms a batch."])
