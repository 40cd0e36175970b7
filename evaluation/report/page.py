"""The report's document, of the results that are there."""

from __future__ import annotations

from collections.abc import Sequence

from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.report.document import Document, Section
from maskrt.evaluation.report.gallery import gallery
from maskrt.evaluation.report.gpu.section import gpu_name, gpu_section
from maskrt.evaluation.report.inputs import Results
from maskrt.evaluation.report.models import Model, collect_models
from maskrt.evaluation.report.sections import accuracy, differences, origin, speed
from maskrt.evaluation.report.summary import summary
from maskrt.evaluation.results.gpu_check import GpuCheck


def make_report(results: Results, images: int) -> Document:
    """Make the report of the results that are there, with at most that many images.

    Raises:
        ArgumentError: a mask in compare.json is damaged.
        DependencyError: a package that plots is not installed.
    """
    models = collect_models(results)
    of_gpus_alone = results.all == list(results.gpu_checks)
    environment = describe_environment()
    sections: list[Section | None] = [
        None if of_gpus_alone else summary(models, results),
        gallery(models, results, images),
        accuracy(models, results),
        differences(models, results),
        speed(models, results),
        *(gpu_section(check, number) for number, check in enumerate(results.gpu_checks, start=1)),
        origin(results, environment),
    ]
    shown = results.all[0].environment
    date = shown.date.partition("T")[0]
    return Document(
        title=_title_of_gpus(results.gpu_checks) if of_gpus_alone else _title(models),
        origin=f"maskrt {environment.packages['maskrt']}, {shown.device}, {date}",
        sections=[section for section in sections if section is not None],
    )


def _title_of_gpus(checks: Sequence[GpuCheck]) -> str:
    return f"gpu-check on {' and '.join(map(gpu_name, checks))}"


def _title(models: Sequence[Model]) -> str:
    precisions = list(dict.fromkeys(model.precision.upper() for model in models if not model.is_pytorch))
    if not precisions:
        return "Mask R-CNN in PyTorch"
    return f"Mask R-CNN in {', '.join(precisions[:-1])}{' and ' if len(precisions) > 1 else ''}{precisions[-1]}"
