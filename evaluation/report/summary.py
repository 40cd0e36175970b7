"""The top of the report: what it comes to, in plain words and in one table."""

from __future__ import annotations

from collections.abc import Sequence

from maskrt.contract.precision import PRECISIONS
from maskrt.evaluation.report import figures
from maskrt.evaluation.report.document import Block, Bullets, Cell, Paragraph, Section, table_of
from maskrt.evaluation.report.inputs import Results
from maskrt.evaluation.report.models import Model, reference_of
from maskrt.evaluation.results.bench import PeakMemory, PipelineRecord


def summary(models: Sequence[Model], results: Results) -> Section:
    """Sum up verdict, accuracy and speed of each model."""
    judged = [model for model in models if model.passed is not None]
    blocks: list[Block] = []
    if judged:
        passed = sum(1 for model in judged if model.passed)
        blocks.append(Bullets([_verdict(passed, len(judged))]))
    reference = reference_of(models)
    sentences = [_sentence(model, reference, results) for model in models if model is not reference]
    blocks.append(Bullets([sentence for sentence in sentences if sentence]))
    blocks.append(table_of("Every model in one table", [_row(model, reference) for model in models]))
    blocks.append(Paragraph(_how(results)))
    return Section("summary", "Summary", blocks)


def _verdict(passed: int, judged: int) -> Cell:
    what = f"of {figures.count(judged, 'model file')} {'stays' if passed == 1 else 'stay'} within the budget"
    return Cell(f"{passed or 'None'} {what} of differences from PyTorch.", "good" if passed == judged else "bad")


def _sentence(model: Model, reference: Model | None, results: Results) -> str | Cell:
    """Say what there is to say of one model; empty where there is nothing."""
    title = model.label if model.label == model.name else f"{model.label} ({model.name})"
    parts = []
    if model.passed is not None:
        parts.append("passes" if model.passed else "fails")
    if reference is not None and model.evaluation is not None and results.evaluate is not None:
        parts.append(_accuracy(model, reference, results.evaluate.dataset.images))
    if model.candidate is not None:
        found = model.candidate.detections
        parts.append(
            f"finds {found.reference - found.missing} of {figures.count(found.reference, 'instance')} that "
            f"PyTorch finds, and {found.extra or 'none'} that it does not"
        )
    if model.timing is not None:
        time = f"takes {figures.milliseconds(model.seconds_per_image)} ms an image"
        if model.speedup is not None:
            time += f", {_faster(model.speedup)} {model.timing.speedup.reference}"
        parts.append(time)
    if not parts:
        return ""
    text = f"{title} {'; '.join(parts)}."
    if model.candidate is not None and not model.passed:
        first = model.candidate.first_difference
        where = f" The first difference beyond the budget appears at {first}." if first else ""
        return Cell(f"{text} {' '.join(model.candidate.reasons)}{where}", "bad")
    return text


def _accuracy(model: Model, reference: Model, images: int) -> str:
    changes: dict[str, float] = {}
    for kind, value, other in (
        ("box", model.box_ap, reference.box_ap),
        ("mask", model.mask_ap, reference.mask_ap),
        ("keypoint", model.keypoint_ap, reference.keypoint_ap),
    ):
        if value is not None and other is not None:
            changes[kind] = round(value - other, 4)
    if not any(changes.values()):
        text = f"keeps {' and '.join(changes)} AP to four digits" if changes else "has no AP to compare"
    else:
        verbs = {-1: "loses", 0: "keeps", 1: "gains"}
        text = " and ".join(
            f"{verbs[(change > 0) - (change < 0)]} {f'{abs(change):.4f} of ' if change else ''}{kind} AP"
            for kind, change in changes.items()
        )
    return f"on {figures.count(images, 'image')} {text}"


def _faster(ratio: float) -> str:
    if 0.98 <= ratio <= 1.02:
        return "as fast as"
    return (
        f"{figures.number(ratio)} times as fast as" if ratio > 1 else f"{figures.number(1 / ratio)} times slower than"
    )


def _row(model: Model, reference: Model | None) -> dict[str, str | Cell]:
    verdict: str | Cell = figures.NONE
    if model.passed is not None:
        verdict = Cell("pass", "good") if model.passed else Cell("fail", "bad")
    memory = PeakMemory(None, None) if model.timing is None else model.timing.peak_memory
    other = None if model is reference else reference
    return {
        "Model": model.name,
        "Precision": model.precision.upper(),
        "Verdict": verdict,
        "Box AP": figures.ap(model.box_ap),
        "Δ box AP": figures.ap_change(model.box_ap, None if other is None else other.box_ap),
        "Mask AP": figures.ap(model.mask_ap),
        "Δ mask AP": figures.ap_change(model.mask_ap, None if other is None else other.mask_ap),
        "Keypoint AP": figures.ap(model.keypoint_ap),
        "Δ keypoint AP": figures.ap_change(model.keypoint_ap, None if other is None else other.keypoint_ap),
        "ms/image": figures.milliseconds(model.seconds_per_image),
        "Speed-up": figures.times(model.speedup),
        "Peak MB": figures.megabytes(memory.host),
        "Peak GPU MB": figures.megabytes(memory.device),
        "Runs in": model.runs_in,
    }


def _emulated(entry: PipelineRecord) -> bool:
    """Tell whether a lower precision brings no speed where the benchmark ran it."""
    precision = PRECISIONS.get(entry.precision)
    return precision is not None and precision.calibrated and entry.backend == "ONNX Runtime (CPUExecutionProvider)"


def _how(results: Results) -> str:
    """Say where the columns of the table come from."""
    parts = []
    if results.compare:
        parts.append(
            f"Verdicts compare each file with {results.compare.reference.name} on "
            f"{figures.count(len(results.compare.images), 'image')}. " + results.compare.reference.remark
        )
    if results.evaluate:
        data = results.evaluate.dataset
        parts.append(f"AP is COCO's, the mean over IoU 0.50 to 0.95, on {data.name} ({data.images:,} images).")
    if results.bench:
        settings = results.bench.settings
        threads = settings.threads
        parts.append(
            "Time is the median from an image file to encoded masks, all models in turns in one run "
            f"({settings.repeats} turns, {'all cores' if threads is None else figures.count(threads, 'thread')})."
        )
        if any(_emulated(entry) for entry in results.bench.pipeline):
            parts.append(
                "On a CPU, ONNX Runtime computes INT8 and FP8 files in FP32, with conversions in between: their time "
                "here says nothing about TensorRT, which they are laid out for."
            )
    elif results.evaluate:
        parts.append("Time is the median from a decoded image to COCO records.")
    return " ".join(parts)
