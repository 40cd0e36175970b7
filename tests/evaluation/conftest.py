"""Result files by hand, in the formats that evaluate, compare and bench document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

NASTY = "<script>alert(1)</script> | *b*"
"""A class name that must not become markup."""

ENVIRONMENT = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "python -m maskrt.evaluation.bench.cli a.onnx",
    "device": "A CPU",
    "cpu": "A CPU",
    "cores": 2,
    "gpu": None,
    "driver": None,
    "system": "Linux x86_64",
    "commit": "0123456789abcdef",
    "dirty": False,
    "packages": {"python": "3.11.2", "numpy": "2.0"},
}


def _box_mask(box: list[float], height: int, width: int) -> dict[str, Any]:
    mask = np.zeros((height, width), np.uint8, order="F")
    left, top, right, bottom = map(round, box)
    mask[top:bottom, left:right] = 1
    rle = coco_mask.encode(mask)
    return {"size": [height, width], "counts": rle["counts"].decode()}


def _instance(box: list[float], name: str, score: float = 0.9) -> dict[str, Any]:
    return {"box": box, "score": score, "label": 1, "name": name, "rle": _box_mask(box, 60, 80)}


def evaluate_json() -> dict[str, Any]:
    def model(name: str, precision: str, ap: float, seconds: float) -> dict[str, Any]:
        aps = {"AP": ap, "AP50": 0.9, "AP75": 0.7, "APs": None, "APm": ap, "APl": ap}
        return {
            "name": name,
            "precision": precision,
            "backend": "ONNX Runtime (CPUExecutionProvider)",
            "box": aps,
            "mask": {**aps, "AP": ap + 0.02},
            "seconds_per_image": seconds,
            "per_class": [
                {"name": "disk", "box": ap + 0.1, "mask": ap},
                {"name": NASTY, "box": ap - 0.1, "mask": None},
            ],
        }

    return {
        "format": 1,
        "kind": "evaluate",
        "environment": ENVIRONMENT,
        "dataset": {"name": "shapes", "images": 200, "categories": ["disk", NASTY]},
        "models": [
            model("PyTorch", "fp32", 0.6371, 0.09),
            model("model.onnx", "fp32", 0.6371, 0.06),
            model("model.int8.onnx", "int8", 0.6348, 0.04),
        ],
    }


def compare_json(image_folder: Path) -> dict[str, Any]:
    def candidate(name: str, precision: str, passed: bool, missing: int) -> dict[str, Any]:
        found = {"reference": 4, "matched": 4 - missing, "missing": missing, "extra": missing}
        found |= {"box_px": 0.1, "box_px_max": 0.8, "score": 0.001, "score_max": 0.01}
        found |= {"mask_iou": 0.99, "mask_iou_min": 0.9}
        tensor = {"name": "backbone.fpn", "max_abs": 0.5, "mean_abs": 1e-5, "max_rel": None, "mean_rel": 0.1}
        return {
            "name": name,
            "precision": precision,
            "backend": "ONNX Runtime (CPUExecutionProvider)",
            "verdict": "pass" if passed else "fail",
            "detections": found,
            "budget": {"snr_db": 12.0},
            "reasons": [] if passed else ["1 of 4 detections is missing, the budget is 0."],
            "first_difference": None if passed else "backbone.fpn",
            "tensors": [{**tensor, "snr_db": 30.0 if passed else 3.0, "within_budget": passed}],
            "worst_image": {"file": "b.png", **found},
        }

    disk, other = [10.0, 10, 30, 40], [40.0, 20, 70, 50]
    return {
        "format": 1,
        "kind": "compare",
        "environment": {**ENVIRONMENT, "command": "maskrt compare a.onnx"},
        "reference": {"name": "PyTorch"},
        "score_threshold": 0.5,
        "image_folder": str(image_folder),
        "candidates": [
            candidate("model.onnx", "fp32", True, 0),
            candidate("model.int8.onnx", "int8", False, 1),
        ],
        "not_compared": [{"name": "TensorRT", "why": "there is no GPU."}],
        "images": [
            {
                "file": f"{name}.png",
                "height": 60,
                "width": 80,
                "instances": {
                    "PyTorch": [_instance(disk, "disk"), _instance(other, NASTY)],
                    "model.onnx": [_instance(disk, "disk"), _instance(other, NASTY)],
                    # The disk is 2 px wider; the other is missing; another one is extra.
                    "model.int8.onnx": [_instance([10, 10, 32, 40], "disk"), _instance([50, 2, 60, 12], "disk")],
                },
            }
            for name in "ab"
        ],
    }


def bench_json() -> dict[str, Any]:
    def entry(name: str, precision: str, batch: int, infer: float) -> dict[str, Any]:
        stages = {"decode": 0.001, "preprocess": 0.0002, "infer": infer, "postprocess": 0.0004, "rle": 0.002}
        seconds = {stage: {"median": s, "p90": 1.1 * s, "p99": 1.3 * s} for stage, s in stages.items()}
        total = sum(stages.values())
        seconds["total"] = {"median": total, "p90": 1.1 * total, "p99": 1.3 * total}
        return {
            "name": name,
            "precision": precision,
            "backend": "ONNX Runtime (CPUExecutionProvider)",
            "batch": batch,
            "picture_size": None,
            "detections_per_image": 4.5,
            "seconds": seconds,
            "images_per_second": batch / total,
            "overlapped_images_per_second": None if name == "PyTorch" else 1.1 * batch / total,
            "speedup": {"reference": "PyTorch", "median": (0.0036 + 0.1 * batch) / total, "least": 1.0, "most": 2.5},
            "peak_memory": {"host": 233_000_000, "device": None},
        }

    one = {"median": 1.0, "p90": 1.1, "p99": 1.2}
    return {
        "format": 1,
        "kind": "bench",
        "environment": ENVIRONMENT,
        "settings": {"threads": 1, "repeats": 30, "warm_up": 8, "pictures": 8},
        "pipeline": [
            entry(name, precision, batch, batch * seconds)
            for batch in (1, 8)
            for name, precision, seconds in (
                ("PyTorch", "fp32", 0.1),
                ("model.onnx", "fp32", 0.06),
                ("model.int8.onnx", "int8", 0.04),
            )
        ],
        "failed": [{"name": "model.engine", "batch": 8, "picture_size": None, "reason": "built for batch 1"}],
        "operations": [
            {
                "operation": "paste and encode",
                "image_size": [1080, 1920],
                "reference": "pycocotools",
                "reference_seconds": one,
                "seconds": {**one, "median": 0.01},
                "ratio": {"median": 100.0, "least": 90.0, "most": 110.0},
            }
        ],
    }


@pytest.fixture
def write_results(tmp_path: Path) -> Callable[..., Path]:
    """Writes evaluate.json, compare.json (with its two images) and bench.json, or only some of them, into a folder."""

    def write(*kinds: str) -> Path:
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        for name in "ab":
            image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{name}.png"), image)
        contents = {"evaluate": evaluate_json(), "compare": compare_json(folder), "bench": bench_json()}
        for kind in kinds or contents:
            (folder / f"{kind}.json").write_text(json.dumps(contents[kind]))
        return folder

    return write
