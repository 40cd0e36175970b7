"""Result files by hand, of the types that `maskrt.evaluation.results` writes and reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.contract.precision import PRECISIONS
from maskrt.evaluation.environment import Environment
from maskrt.evaluation.metrics.coco import ApStatistics
from maskrt.evaluation.results import bench, compare, evaluate, gpu_check
from maskrt.evaluation.results.files import write_result

NASTY = "<script>alert(1)</script> | *b*"
"""A class name that must not become markup."""

CPU = "ONNX Runtime (CPUExecutionProvider)"


def environment(command: str) -> Environment:
    return Environment(
        date="2026-01-02T03:04:05+00:00",
        command=command,
        device="A CPU",
        cpu="A CPU",
        cores=2,
        gpu=None,
        compute_capability=None,
        driver=None,
        system="Linux x86_64",
        packages={"python": "3.11.2", "maskrt": "0.1.0", "numpy": "2.0"},
        commit="0123456789abcdef",
        dirty=False,
    )


def evaluation() -> evaluate.Evaluation:
    def model(name: str, precision: str, ap: float, seconds: float) -> evaluate.ModelRecord:
        return evaluate.ModelRecord(
            name=name,
            file=None if name == "PyTorch" else f"out/{name}",
            precision=precision,
            backend=CPU,
            remark="Computed by torchvision 0.29.1." if name == "PyTorch" else None,
            score_threshold=0.05,
            nms_threshold=0.5,
            box=ApStatistics(ap, 0.9, 0.7, None, ap, ap),
            mask=ApStatistics(ap + 0.02, 0.9, 0.7, None, ap, ap),
            per_class=(evaluate.ClassAp("disk", ap + 0.1, ap), evaluate.ClassAp(NASTY, ap - 0.1, None)),
            seconds_per_image=seconds,
            results=f"{name}.results.json",
        )

    return evaluate.Evaluation(
        environment("maskrt evaluate a.onnx"),
        evaluate.DatasetRecord("shapes", "shapes/annotations.json", 200, 0, 1234, ("disk", NASTY)),
        (
            model("PyTorch", "fp32", 0.6371, 0.09),
            model("model.onnx", "fp32", 0.6371, 0.06),
            model("model.int8.onnx", "int8", 0.6348, 0.04),
        ),
    )


def _instance(box: tuple[float, float, float, float], name: str) -> compare.InstanceRecord:
    """Its mask fills its box, in an image of 60x80 pixels."""
    mask = np.zeros((60, 80), np.uint8, order="F")
    left, top, right, bottom = map(round, box)
    mask[top:bottom, left:right] = 1
    counts = coco_mask.encode(mask)["counts"].decode()
    return compare.InstanceRecord(box, 0.9, 1, name, compare.EncodedMask((60, 80), counts))


def comparison(image_folder: Path) -> compare.Comparison:
    def candidate(name: str, precision: str, passed: bool, missing: int) -> compare.CandidateRecord:
        found = (4, 4 - missing, missing, missing, 0.1, 0.8, 0.001, 0.01, 0.99, 0.9)
        snr_db = 30.0 if passed else 3.0
        return compare.CandidateRecord(
            name=name,
            file=f"out/{name}",
            precision=precision,
            backend=CPU,
            verdict="pass" if passed else "fail",
            reasons=() if passed else ("1 of 4 detections is missing, the budget is 0.",),
            budget=PRECISIONS[precision].budget,
            first_difference=None if passed else "backbone.fpn",
            tensors=(
                compare.TensorRecord("backbone.fpn", "conv2d", 0.5, 1e-5, None, 0.1, snr_db, None, "b.png", passed),
            ),
            detections=compare.DetectionCounts(*found),
            pasting_iou=1.0,
            worst_image=compare.WorstImage(*found, file="b.png"),
        )

    disk, other = (10.0, 10.0, 30.0, 40.0), (40.0, 20.0, 70.0, 50.0)
    instances = {
        "PyTorch": (_instance(disk, "disk"), _instance(other, NASTY)),
        "model.onnx": (_instance(disk, "disk"), _instance(other, NASTY)),
        # The disk is 2 px wider; the other is missing; another one is extra.
        "model.int8.onnx": (_instance((10.0, 10.0, 32.0, 40.0), "disk"), _instance((50.0, 2.0, 60.0, 12.0), "disk")),
    }
    return compare.Comparison(
        environment("maskrt compare a.onnx"),
        compare.ReferenceRecord("PyTorch", "models:make", "torchvision 0.29.1", "Computed by torchvision 0.29.1."),
        0.5,
        (candidate("model.onnx", "fp32", True, 0), candidate("model.int8.onnx", "int8", False, 1)),
        (compare.NotCompared("TensorRT", "there is no GPU."),),
        tuple(compare.ImageRecord(f"{name}.png", 60, 80, instances) for name in "ab"),
        str(image_folder),
    )


def benchmark() -> bench.Benchmark:
    def seconds(median: float) -> bench.Seconds:
        return bench.Seconds(median, 1.1 * median, 1.3 * median)

    def entry(name: str, precision: str, batch: int, infer: float) -> bench.PipelineRecord:
        stages = (0.001, 0.0002, infer, 0.0004, 0.002)
        total = sum(stages)
        return bench.PipelineRecord(
            name=name,
            precision=precision,
            backend=CPU,
            batch=batch,
            picture_size=None,
            detections_per_image=4.5,
            seconds=bench.StageSeconds(*map(seconds, (*stages, total))),
            images_per_second=batch / total,
            overlapped_images_per_second=None if name == "PyTorch" else 1.1 * batch / total,
            speedup=bench.Speedup((0.0036 + 0.1 * batch) / total, 1.0, 2.5, reference="PyTorch"),
            peak_memory=bench.PeakMemory(233_000_000, None),
        )

    return bench.Benchmark(
        environment("maskrt bench a.onnx"),
        bench.Settings(threads=1, repeats=30, warm_up=8, pictures=8),
        tuple(
            entry(name, precision, batch, batch * time)
            for batch in (1, 8)
            for name, precision, time in (
                ("PyTorch", "fp32", 0.1),
                ("model.onnx", "fp32", 0.06),
                ("model.int8.onnx", "int8", 0.04),
            )
        ),
        (bench.Failure("model.engine", 8, None, "built for batch 1"),),
        (
            bench.OperationRecord(
                operation="paste and encode",
                image_size=(1080, 1920),
                reference="pycocotools",
                reference_seconds=seconds(1.0),
                seconds=seconds(0.01),
                ratio=bench.Ratio(100.0, 90.0, 110.0),
                differing=0,
            ),
        ),
    )


def check_of_gpu() -> gpu_check.GpuCheck:
    """A check that its budget stopped before the sanitizer."""

    def us(median: float) -> dict[str, float]:
        return {"median": median, "p10": 0.9 * median, "p90": 1.2 * median}

    def beside(missing: int, box_px: float | str) -> dict[str, Any]:
        spread = {"max": box_px, "p90": 0.01}
        return {"pairs": 100 - missing, "missing": missing, "extra": 0, "box_px": spread, "score": spread}

    def kernel(ours: float, theirs: float, **more: Any) -> dict[str, Any]:
        times = {"slow way": us(2 * theirs), "torchvision": us(theirs)}
        speedup = {"fastest_of_theirs": "torchvision", "speedup": theirs / ours}
        return {"ours_us": us(ours), "theirs_us": times, **speedup, **more}

    def ap(box: float, mask: float, **more: Any) -> dict[str, Any]:
        bbox, segm = ({"AP": value, "AP50": 0.9, "AP75": 0.7} for value in (box, mask))
        return {"detections": 640, "bbox": bbox, "segm": segm, **more}

    def done(**results: Any) -> gpu_check.PartRecord:
        return gpu_check.PartRecord("done", 12.3, {name.replace("__", "."): value for name, value in results.items()})

    whole = {
        "detections": [100],
        "torchvision_fp32_us": [us(30_000), us(31_000), us(29_000)],
        "torchvision_fp32_pasting_us": us(36_000),
        "torchvision_fp16": "it fails: expected scalar type Half but found Float",
        "ours_fp32": beside(0, 0.02),
        "ours_fp16": beside(2, "NaN"),
        "ours_fp16_eager_us": us(15_000),
        "ours_fp16_graph_us": us(8_000),
        "ours_fp16_graph_kernels_us": {"resolve_kernel": 17.5},
        "ours_fp16_stages_us": {"backbone": us(4_000), "rpn_head": us(1_500)},
        "ours_fp32_stages": "they cannot be captured: out of memory",
    }
    outcomes = {
        "outcomes": {"passed": 41, "failed": 1},
        "not_passed": {"tests/plugins/test_nms.py::test_one": "failed"},
    }
    roi_align = kernel(40, 240, floor_us=16.0, over_floor=2.5, max_difference_from_torchvision_fp32=0.001)
    change = {"bbox": -0.0012, "segm": 0.0}
    engine = {"loads": False, "has_context": False, "log": ["it is for another GPU"]}
    running = {"loads": True, "has_context": True, "runs": {"boxes": 0.25, "scores": "NaN"}}
    return gpu_check.GpuCheck(
        dataclasses.replace(environment("python -m maskrt.tools.gpu_check"), gpu="NVIDIA X100", driver="580.1"),
        {
            "machine": done(device="NVIDIA X100", compute_capability="9.0", multiprocessors=132, clocks=None),
            "build": done(folder="out/gpu-check/build"),
            "kernels-right": gpu_check.PartRecord("failed", 60.0, outcomes, "RuntimeError: 1 of 42 tests did not pass"),
            "pipeline": done(
                shapes_320x448={"left_out": "ImportError: No module named 'safetensors'"}, r50_fpn_800x1344=whole
            ),
            "kernels-fast": done(
                copy_gb_per_s=2400.0,
                multilevel_roi_align_fp16=roi_align,
                generate_proposals_fp16=kernel(30, 300, largest_difference="NaN"),
            ),
            "accuracy": done(
                scenes=100,
                torchvision_fp32=ap(0.6371, 0.6571),
                ours_fp16=ap(0.6359, 0.6571, minus_torchvision_fp32=change),
                torchvision_fp16="it fails: expected scalar type Half but found Float",
            ),
            "rtx": done(a__engine=engine, b__engine="its loading ended the process", c__engine=running),
            "onnxruntime": gpu_check.PartRecord("skipped", 1.0, {}, "this ONNX Runtime has no CUDA provider"),
            "compiled": gpu_check.PartRecord(
                "stopped", 99.0, {"r50_fpn_800x1344": {"eager_us": us(36_000)}}, "it took longer than 99 s"
            ),
            "sanitizer": gpu_check.PartRecord("not reached", 0.0, reason="the budget was used up before"),
        },
    )


@pytest.fixture(scope="session")
def demo_scenes(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A COCO JSON file of six held-out scenes of the demo, the images beside it."""
    from maskrt.shapes.dataset import write_dataset

    return once("demo-scenes", lambda folder: write_dataset(folder, 6)) / "annotations.json"


@pytest.fixture
def write_results(tmp_path: Path) -> Callable[..., Path]:
    """Writes evaluate.json, compare.json (with its two images) and bench.json into a folder, or those of some kinds."""

    def write(*kinds: str) -> Path:
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        for name in "ab":
            image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{name}.png"), image)
        results = {
            "evaluate": evaluation(),
            "compare": comparison(folder),
            "bench": benchmark(),
            "gpu-check": check_of_gpu(),
        }
        for kind in kinds or ("evaluate", "compare", "bench"):
            write_result(folder / f"{kind}.json", results[kind])
        return folder

    return write
