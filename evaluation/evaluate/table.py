"""What evaluate.json says, for a terminal."""

from __future__ import annotations

from maskrt.evaluation.metrics.cityscapes_ap import CityscapesAp
from maskrt.evaluation.metrics.coco import STATISTICS
from maskrt.evaluation.results.evaluate import Evaluation
from maskrt.terminal import printable


def table(result: Evaluation) -> list[str]:
    """Show a line for the boxes of each model, one for its masks and one for its keypoints."""
    width = max(len(printable(model.name)) for model in result.models)
    head = "".join(f"{name:>8}" for name in STATISTICS)
    lines = [f"{'model':{width}}  precision        {head}  ms/image"]
    for model in result.models:
        for kind, ap in (("box", model.box), ("mask", model.mask), ("points", model.keypoints)):
            if ap is None:
                continue
            values = "".join(f"{_value(getattr(ap, name)):>8}" for name in STATISTICS)
            end = f"{1000 * model.seconds_per_image:10.1f}" if kind == "box" else ""
            lines.append(f"{printable(model.name):{width}}  {model.precision:9}  {kind:6}{values}{end}")
    for model in result.models:
        if model.cityscapes is not None:
            lines += ["", f"{model.name}: Cityscapes' own AP of masks", *_cityscapes(model.cityscapes)]
    lines += [model.remark for model in result.models if model.remark is not None]
    return lines


def _cityscapes(ap: CityscapesAp) -> list[str]:
    rows = [*((printable(own.name), own.AP, own.AP50) for own in ap.per_class), ("mean", ap.AP, ap.AP50)]
    width = max(len(name) for name, _, _ in rows)
    head = f"{'class':{width}}{'AP':>8}{'AP50':>8}"
    return [head, *(f"{name:{width}}{_value(mean):>8}{_value(at_50):>8}" for name, mean, at_50 in rows)]


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
