"""The report's sections below the summary: accuracy, differences, speed, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from maskrt.contract.precision import Budget
from maskrt.evaluation.environment import Environment
from maskrt.evaluation.metrics.coco import STATISTICS
from maskrt.evaluation.report import figures
from maskrt.evaluation.report.document import Block, Bullets, Cell, Code, Paragraph, Plot, Section, Table, table_of
from maskrt.evaluation.report.inputs import Results
from maskrt.evaluation.report.models import Model
from maskrt.evaluation.report.plots import Point, accuracy_against_speed, stage_bars
from maskrt.evaluation.results.bench import STAGES, OperationRecord, PipelineRecord
from maskrt.evaluation.results.compare import CandidateRecord, DetectionCounts
from maskrt.evaluation.results.files import kind_of


def accuracy(models: Sequence[Model], results: Results) -> Section | None:
    """Show AP of each model, against its speed, and by class."""
    evaluated = [model for model in models if model.evaluation is not None]
    if results.evaluate is None or not evaluated:
        return None
    blocks: list[Block] = []
    kind = "mask" if all(model.mask_ap is not None for model in evaluated) else "box"
    points = [
        Point(model.label, 1 / model.seconds_per_image, value)
        for model in evaluated
        if (value := model.mask_ap if kind == "mask" else model.box_ap) is not None and model.seconds_per_image
    ]
    if points:
        text = ", ".join(
            f"{point.label} {figures.number(point.images_per_second)} images/s at {point.ap:.4f}" for point in points
        )
        plot = accuracy_against_speed(points, kind)
        blocks.append(Plot(plot, f"{kind.capitalize()} AP against speed: {text}.", "Accuracy against speed"))
    by_class: list[Block] = []
    for name, overlap in (("box", "IoU"), ("mask", "IoU"), ("keypoints", "OKS")):
        rows = [
            [model.label, *(figures.ap(value) for value in asdict(ap).values())]
            for model in evaluated
            if model.evaluation is not None and (ap := getattr(model.evaluation, name)) is not None
        ]
        if rows:
            blocks.append(
                Table(
                    f"{name.capitalize()} AP by {overlap} and size of the objects",
                    ["Model", *STATISTICS],
                    rows,
                )
            )
            by_class.append(_by_class(evaluated, name))
    return Section("accuracy", "Accuracy", blocks + by_class)


def _by_class(models: Sequence[Model], kind: str) -> Table:
    """Show a row for each class; the largest loss is of any model against the first. `kind`: a field of `ClassAp`."""
    values: dict[str, dict[str, float | None]] = {}
    for model in models:
        assert model.evaluation is not None
        for entry in model.evaluation.per_class:
            values.setdefault(entry.name, {})[model.name] = getattr(entry, kind)
    rows = []
    for name, of_class in values.items():
        aps = [of_class.get(model.name) for model in models]
        known = [value for value in aps[1:] if value is not None]
        loss = min(known) - aps[0] if known and aps[0] is not None else None
        change = figures.NONE if loss is None else figures.ap_change(min(known), aps[0])
        rows.append([name, *(figures.ap(value) for value in aps), *([change] if len(models) > 1 else [])])
    header = ["Class", *(model.label for model in models)]
    if len(models) > 1:
        header.append("Largest loss")
    return Table(f"{kind.capitalize()} AP by class", header, rows, folded=len(rows) > 20)


def _keypoints(found: DetectionCounts) -> str:
    return f"{figures.share(found.keypoint_size)} / {figures.share(found.keypoint_size_max)}"


def differences(models: Sequence[Model], results: Results) -> Section | None:
    """Show what the comparison with PyTorch found, in figures."""
    if results.compare is None:
        return None
    blocks: list[Block] = []
    judged = [(model.label, model.candidate) for model in models if model.candidate is not None]
    rows: list[list[str | Cell]] = []
    with_keypoints = any(candidate.detections.keypoint_size is not None for _, candidate in judged)
    for label, candidate in judged:
        found = candidate.detections
        passed = candidate.verdict == "pass"
        rows.append(
            [
                label,
                Cell("pass", "good") if passed else Cell("fail", "bad"),
                f"{found.matched:,} of {found.reference:,}",
                f"{found.missing:,}",
                f"{found.extra:,}",
                f"{figures.number(found.box_px)} / {figures.number(found.box_px_max)}",
                f"{figures.number(found.score)} / {figures.number(found.score_max)}",
                f"{figures.share(found.mask_iou)} / {figures.share(found.mask_iou_min)}",
                *([_keypoints(found)] if with_keypoints else []),
                candidate.first_difference or figures.NONE,
            ]
        )
    header = [
        "File",
        "Verdict",
        "Found again",
        "Missing",
        "Extra",
        "Box px ≤",
        "Score ≤",
        "Mask IoU ≥",
        *(["Keypoints ≤, of the box's size"] if with_keypoints else []),
        "Over budget at",
    ]
    caption = "Detections matched with PyTorch's; how far nine of ten / all of the matched ones differ at most"
    blocks.append(Table(caption, header, rows))
    for label, candidate in judged:
        if candidate.reasons:
            blocks.append(Bullets([Cell(f"{label}: {reason}", "bad") for reason in candidate.reasons]))
    if results.compare.not_compared:
        blocks.append(
            Bullets([f"{entry.name} was not compared: {entry.why}" for entry in results.compare.not_compared])
        )
    budgets = [asdict(candidate.budget) for _, candidate in judged]
    limits = [[field.name, *(f"{budget[field.name]:g}" for budget in budgets)] for field in fields(Budget)]
    blocks.append(Table("The budgets", ["Limit", *(label for label, _ in judged)], limits, folded=True))
    blocks += [_tensors(label, candidate) for label, candidate in judged if candidate.tensors]
    return Section("differences", "Differences from PyTorch", blocks)


def _tensors(label: str, candidate: CandidateRecord) -> Table:
    header = ["Tensor", "Largest", "Mean", "Largest relative", "Mean relative", "Signal to noise, dB", "Budget"]
    rows: list[list[str | Cell]] = [
        [
            tensor.name,
            *(map(figures.number, (tensor.max_abs, tensor.mean_abs, tensor.max_rel, tensor.mean_rel))),
            figures.number(tensor.snr_db),
            Cell("kept", "good") if tensor.within_budget else Cell("missed", "bad"),
        ]
        for tensor in candidate.tensors
    ]
    return Table(f"Raw tensors of {label}: differences from PyTorch, the worst image", header, rows, folded=True)


def speed(models: Sequence[Model], results: Results) -> Section | None:
    """Show latency by stage, and everything that the benchmark measured."""
    if results.bench is None:
        return None
    blocks: list[Block] = []
    timed = [(model.label, model.timing) for model in models if model.timing is not None]
    if timed:
        blocks.append(_latency_bars(timed))
        blocks += _pipeline_tables(results.bench.pipeline)
    if results.bench.failed:
        blocks.append(Bullets([Cell(f"{e.name}, batch {e.batch}: {e.reason}", "bad") for e in results.bench.failed]))
    if results.bench.operations:
        blocks.append(_operations(results.bench.operations))
    return Section("speed", "Speed and memory", blocks)


def _latency_bars(timed: Sequence[tuple[str, PipelineRecord]]) -> Plot:
    """Plot the models that were timed on the same work as the first one: a side may have failed on that batch."""
    batch, size = timed[0][1].batch, timed[0][1].picture_size
    alike = [(label, entry) for label, entry in timed if (entry.batch, entry.picture_size) == (batch, size)]
    labels = [label for label, _ in alike]
    rows = [[1000 * getattr(entry.seconds, stage).median for stage in STAGES] for _, entry in alike]
    text = ", ".join(f"{label} {figures.number(sum(row))} ms" for label, row in zip(labels, rows, strict=True))
    caption = f"Where the time of a batch of {figures.count(batch, 'image')} goes (medians)"
    return Plot(stage_bars(labels, STAGES, rows), f"Latency by stage: {text}.", caption)


def _pipeline_tables(entries: Sequence[PipelineRecord]) -> list[Block]:
    """Make two tables of the same rows: the whole, and the stages."""
    whole, stages = [], []
    for entry in entries:
        seconds, ratio, memory = entry.seconds, entry.speedup, entry.peak_memory
        size = entry.picture_size
        first: dict[str, str | Cell] = {
            "Model": entry.name,
            "Batch": str(entry.batch),
            "Pictures": figures.NONE if size is None else f"{size[0]}×{size[1]}",
        }
        faster = figures.NONE
        if ratio.reference != entry.name:
            spread = f"{ratio.least:.2f} to {ratio.most:.2f}"
            faster = f"{figures.times(ratio.median)} ({spread}) over {ratio.reference}"
        whole.append(
            {
                **first,
                "Median ms": figures.milliseconds(seconds.total.median),
                "p90": figures.milliseconds(seconds.total.p90),
                "p99": figures.milliseconds(seconds.total.p99),
                "Images/s": figures.number(entry.images_per_second),
                "Images/s, stages overlapped": figures.number(entry.overlapped_images_per_second),
                "Speed-up": faster,
                "Peak MB": figures.megabytes(memory.host),
                "Peak GPU MB": figures.megabytes(memory.device),
            }
        )
        stages.append({**first, **{stage: figures.milliseconds(getattr(seconds, stage).median) for stage in STAGES}})
    return [
        table_of("Latency of a batch, from files to encoded masks", whole),
        table_of("Median milliseconds of each stage", stages),
    ]


def _operations(records: Sequence[OperationRecord]) -> Table:
    rows = []
    for record in records:
        height, width = record.image_size
        ratio = record.ratio
        rows.append(
            [
                record.operation,
                f"{height}×{width}",
                record.reference,
                figures.milliseconds(record.reference_seconds.median),
                figures.milliseconds(record.seconds.median),
                "{}× ({} to {})".format(*map(figures.number, (ratio.median, ratio.least, ratio.most))),
            ]
        )
    header = ["Operation", "Image", "Reference", "Reference ms", "maskrt ms", "Faster by"]
    return Table("Single operations on the CPU, beside what they replace", header, rows)


def origin(results: Results, environment: Environment) -> Section:
    """Show the machines and packages, and the commands that made the results and this report."""
    described = [*(content.environment for content in results.all), environment]
    kinds = [*(kind_of(content) for content in results.all), "report"]
    facts = [_facts(entry) for entry in described]
    keys = list(dict.fromkeys(key for entry in facts for key in entry))
    if all(entry == facts[0] for entry in facts):
        kinds, facts = ["All"], facts[:1]
    rows = [[key, *(entry.get(key, figures.NONE) for entry in facts)] for key in keys]
    return Section(
        "origin",
        "How this was made",
        [
            Table("Machine, versions and commit", ["What", *kinds], rows),
            Paragraph("The commands:"),
            Code("\n".join(entry.command for entry in described)),
        ],
    )


def _facts(environment: Environment) -> dict[str, str]:
    names = {"device": "Device", "cpu": "CPU", "cores": "Cores", "gpu": "GPU", "driver": "Driver", "system": "System"}
    facts = {title: str(value) for key, title in names.items() if (value := getattr(environment, key)) is not None}
    facts |= environment.packages
    if environment.commit:
        facts["Commit"] = f"{environment.commit[:12]}{' and local changes' if environment.dirty else ''}"
    return facts
