"""COCO average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

from maskrt.runtime.errors import DependencyError


def average_precision(
    ground_truth: dict[str, Any], results: list[dict[str, Any]], kind: Literal["bbox", "segm"]
) -> dict[str, float]:
    """COCO AP of `results` (the list that pycocotools' `loadRes` takes) against a COCO dictionary.

    Returns `AP` (mean over IoU 0.50:0.95), `AP50`, `AP75`, `APs`, `APm`, `APl`, each in 0–1, or -1 where nothing
    counts. Without results every one of them is 0.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DependencyError("COCO AP needs pycocotools: `pip install maskrt[shapes]`") from error
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    if not results:
        return dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and tables
        truth = COCO()
        truth.dataset = ground_truth
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(names, evaluation.stats, strict=False)}
