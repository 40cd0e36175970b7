"""What evaluate.json says, for a terminal."""

from __future__ import annotations

from maskrt.evaluation.metrics.coco import STATISTICS
from maskrt.evaluation.results.evaluate import Evaluation


def table(result: Evaluation) -> str:
    """Show a line for the boxes of each model, one for its masks and one for its keypoints."""
    width = max(len(model.name) for model in result.models)
    head = "".join(f"{name:>8}" for name in STATISTICS)
    lines = [f"{'model':{width}}  precision        {head}  ms/image"]
    for model in result.models:
        for kind, ap in (("box", model.box), ("mask", model.mask), ("points", model.keypoints)):
            if ap is None:
                continue
            values = "".join(f"{_value(getattr(ap, name)):>8}" for name in STATISTICS)
            end = f"{1000 * model.seconds_per_image:10.1f}" if kind == "box" else ""
            lines.append(f"{model.name:{width}}  {model.precision:9}  {kind:6}{values}{end}")
    lines += [model.remark for model in result.models if model.remark is not None]
    return "\n".join(lines)


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
