"""`maskrt evaluate`: AP, resuming, and what does not fit."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrt.evaluation.evaluate import run as evaluate
from maskrt.evaluation.evaluate.cli import main
from maskrt.evaluation.evaluate.log import ResultsLog
from maskrt.evaluation.evaluate.run import evaluate_model
from maskrt.evaluation.evaluate.source import SourcePredictor
from maskrt.evaluation.metrics.coco import STATISTICS
from maskrt.evaluation.metrics.dataset import CocoDataset, read_ground_truth
from maskrt.evaluation.metrics.predict import FilePredictor, ImageResult, predict_images
from maskrt.evaluation.results.evaluate import Evaluation, ModelRecord
from maskrt.evaluation.results.files import read_result
from maskrt.export.families.base import describe_model
from maskrt.options import Thresholds
from maskrt.runtime import ArgumentError, read_image
from maskrt.shapes.dataset import write_dataset

DEMO = "maskrt.shapes.model:shapes_model"
SCENES = 6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out scenes, with ids like COCO's: categories with gaps and in another order, images not from 1."""
    path = write_dataset(tmp_path_factory.mktemp("scenes"), SCENES)
    truth = json.loads(path.read_text())
    categories = {entry["id"]: 90 - 7 * entry["id"] for entry in truth["categories"]}
    for entry in truth["categories"]:
        entry["id"] = categories[entry["id"]]
    for entry in truth["images"]:
        entry["id"] += 139
    for entry in truth["annotations"]:
        entry["category_id"] = categories[entry["category_id"]]
        entry["image_id"] += 139
    path.write_text(json.dumps(truth))
    return path


class Perfect:
    """A predictor that knows the truth, and stops after some images as an interrupt would."""

    precision, backend, sha256, thresholds = "fp32", "knowledge", "1", (0.05, 0.5)
    has_masks = True
    remark = None

    def __init__(self, dataset: CocoDataset, stop_after: int | None = None) -> None:
        self.class_names = ("__background__", *(entry["name"] for entry in dataset.truth["categories"]))
        labels = {entry["id"]: label for label, entry in enumerate(dataset.truth["categories"], start=1)}
        self.calls = 0
        self._stop_after = stop_after
        self._records: dict[bytes, list[dict[str, Any]]] = {}
        for number, file in dataset.files.items():
            self._records[read_image(file).tobytes()] = [
                {
                    "image_id": 0,
                    "category_id": labels[entry["category_id"]],
                    "bbox": entry["bbox"],
                    "score": 0.5 + entry["id"] / 1000,
                    "segmentation": entry["segmentation"],
                }
                for entry in dataset.truth["annotations"]
                if entry["image_id"] == number
            ]

    def predict(self, image: np.ndarray) -> list[dict[str, Any]]:
        if self.calls == self._stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        return self._records[image.tobytes()]


def _written(folder: Path) -> Evaluation:
    result = read_result(folder / "evaluate.json")
    assert isinstance(result, Evaluation)
    return result


def _quietly(predictor: Any, dataset: CocoDataset, output: Path) -> ModelRecord:
    return evaluate_model(predictor, "model", dataset, output, stream=io.StringIO())


def _pycocotools(truth: COCO, results: Any, kind: str) -> dict[str, float]:
    """pycocotools as its own demo uses it."""
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(STATISTICS, evaluation.stats, strict=False))


@torch.inference_mode()
def _reference_results(model: torch.nn.Module, files: dict[int, Path], names: dict[str, int]) -> list[dict[str, Any]]:
    """torchvision's inference step by step, its masks pasted by torchvision, boxes and masks as its references do."""
    results = []
    for number, file in files.items():
        tensor = torch.from_numpy(read_image(file)).permute(2, 0, 1) / 255
        images, _ = model.transform([tensor])
        features = model.backbone(images.tensors)
        proposals, _ = model.rpn(images, features)
        (found,), _ = model.roi_heads(features, proposals, images.image_sizes)
        (found,) = model.transform.postprocess([found], images.image_sizes, [tuple(tensor.shape[1:])])
        assert found["masks"].shape[-2:] == tensor.shape[-2:], "postprocess pastes the masks"
        for box, label, score, mask in zip(
            found["boxes"], found["labels"], found["scores"], found["masks"], strict=True
        ):
            rle = coco_mask.encode(np.asfortranarray((mask[0] > 0.5).numpy(), dtype=np.uint8))
            x1, y1, x2, y2 = box.tolist()
            results.append(
                {
                    "image_id": number,
                    "category_id": names[model.class_names[label]],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score.item(),
                    "segmentation": {**rle, "counts": rle["counts"].decode()},
                }
            )
    return results


def test_ap_equals_pycocotools_and_torchvisions_own(
    shapes_model: Any, shapes_float32_onnx: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(shapes_float32_onnx), "--source", DEMO, "--dataset", str(scenes), "--output", str(tmp_path)]
    assert main([*command, "--threads", "1"]) == 0
    result = _written(tmp_path)
    assert result.dataset.images == SCENES
    assert len(result.dataset.categories) == 8
    reference, ours = result.models
    assert (reference.name, ours.name) == ("PyTorch", shapes_float32_onnx.name)
    assert (reference.file, ours.file) == (None, str(shapes_float32_onnx))
    assert (ours.precision, ours.score_threshold) == ("fp32", 0.05)
    assert ours.backend.startswith("ONNX Runtime")
    assert ours.mask is not None
    assert f"{ours.mask.AP:.4f}" in capsys.readouterr().out

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(scenes))
        on_same_json = {kind: _pycocotools(truth, str(tmp_path / ours.results), kind) for kind in ("bbox", "segm")}
        names = {entry["name"]: entry["id"] for entry in truth.dataset["categories"]}
        files = {entry["id"]: scenes.parent / entry["file_name"] for entry in truth.dataset["images"]}
        torchvisions = _reference_results(shapes_model, files, names)
        references = {kind: _pycocotools(truth, torchvisions, kind) for kind in ("bbox", "segm")}
    mine, torchs = asdict(ours), asdict(reference)
    assert mine["box"]["AP"] > 0.4
    for kind, part in (("bbox", "box"), ("segm", "mask")):
        for name in ("AP", "AP50", "AP75"):
            assert mine[part][name] == pytest.approx(on_same_json[kind][name], abs=1e-4)
            assert torchs[part][name] == pytest.approx(references[kind][name], abs=1e-6)
            assert mine[part][name] == pytest.approx(references[kind][name], abs=5e-4)
        per_class = [entry[part] for entry in mine["per_class"]]
        assert np.mean(per_class) == pytest.approx(mine[part]["AP"])


def test_an_interrupted_run_goes_on(scenes: Path, tmp_path: Path) -> None:
    dataset = read_ground_truth(scenes)
    (whole := tmp_path / "whole").mkdir()
    (parts := tmp_path / "parts").mkdir()
    expected = _quietly(Perfect(dataset), dataset, whole)
    with pytest.raises(KeyboardInterrupt):
        _quietly(Perfect(dataset, stop_after=4), dataset, parts)
    assert not list(parts.glob("*.json"))
    second = Perfect(dataset)
    found = _quietly(second, dataset, parts)
    assert second.calls == SCENES - 4
    assert replace(found, seconds_per_image=0) == replace(expected, seconds_per_image=0)
    assert found.mask is not None
    assert found.box.AP == found.mask.AP == 1
    assert json.loads((parts / found.results).read_text()) == json.loads((whole / found.results).read_text())
    third, stream = Perfect(dataset), io.StringIO()
    evaluate_model(third, "model", dataset, parts, stream=stream)
    assert third.calls == 0
    assert f"all images were done before; without {parts / 'model.results.jsonl'} they" in stream.getvalue()


@pytest.mark.parametrize("change", ["sha256", "thresholds", "dataset", "images", "packages"])
def test_results_of_another_run_are_not_taken_up(
    scenes: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_ground_truth(scenes)
    _quietly(Perfect(dataset), dataset, tmp_path)
    other = Perfect(dataset)
    if change == "dataset":
        truth = json.loads(scenes.read_text())
        truth["info"] = "corrected"
        path = tmp_path / "corrected.json"
        path.write_text(json.dumps(truth))
        dataset = read_ground_truth(path, scenes.parent)
    elif change == "images":
        dataset = read_ground_truth(scenes, shutil.copytree(scenes.parent, tmp_path / "copy"))
    elif change == "packages":
        before = evaluate.describe_environment()
        monkeypatch.setattr(evaluate, "describe_environment", lambda: replace(before, packages={"onnxruntime": "99"}))
    else:
        setattr(other, change, {"sha256": "2", "thresholds": (0.1, 0.5)}[change])
    stream = io.StringIO()
    evaluate_model(other, "model", dataset, tmp_path, stream=stream)
    assert other.calls == SCENES
    changed = {"sha256": "model"}.get(change, change)
    assert f"starting anew, since this differs: {changed}" in stream.getvalue()


def test_memory_does_not_grow_with_the_images(scenes: Path, tmp_path: Path) -> None:
    """What is kept of an image is its number and its time."""
    dataset = read_ground_truth(scenes)
    predictor = Perfect(dataset)
    files = {number: list(dataset.files.values())[number % SCENES] for number in range(300)}
    with ResultsLog(tmp_path / "log.jsonl", {}) as log:
        for result in predict_images(predictor, files, [None, *range(1, 9)], io.StringIO()):
            log.append(result)
            if result.image_id == 50:
                tracemalloc.start()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sum(1 for _ in log.records()) > 1000
    assert grown < 300_000


def test_a_detector_and_a_data_set_without_masks(scenes: Path, tmp_path: Path) -> None:
    truth = json.loads(scenes.read_text())
    del truth["annotations"][3]["segmentation"]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(truth))
    dataset = read_ground_truth(path, scenes.parent)
    found = _quietly(Perfect(read_ground_truth(scenes)), dataset, tmp_path)
    assert (found.box.AP, found.mask) == (1, None)
    assert all(entry.mask is None for entry in found.per_class)


def test_no_data_set(shapes_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(shapes_onnx), "--images", str(tmp_path), "--output", str(tmp_path)]) == 2
    assert "There is nothing to evaluate on: give --dataset with a file of COCO annotations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "There is nothing to evaluate: name a model file, or give --source"),
        (["MODEL", "--weights", "COCO_V1"], "--weights COCO_V1 says more about a source model, but none is named"),
        (["missing.onnx"], "there is no such file"),
        (["MODEL", "--images", "nowhere"], "there is no such folder of images"),
        (["MODEL", "--dataset", "EMPTY"], "names no images"),
        (["MODEL", "--dataset", "FOREIGN"], "which the model does not know; the model has disk, ring"),
        (["MODEL", "--dataset", "GONE"], "1 of the 2 images"),
        (["MODEL", "--dataset", "LATER", "--limit", "1"], "The first 1 image of"),
        (["MODEL", "--checkpoint", "x.pth", "--source", DEMO], "There is no checkpoint x.pth"),
        (["MODEL", "MODEL"], "Two files have the name"),
    ],
)
def test_what_does_not_work(
    options: list[str],
    message: str,
    scenes: Path,
    shapes_onnx: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = json.loads(scenes.read_text())
    truth["images"] = truth["images"][:1]
    truth["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] == 140]
    variants = {
        "EMPTY": {**truth, "images": [], "annotations": []},
        "FOREIGN": {**truth, "categories": [{**entry, "name": entry["name"] + "s"} for entry in truth["categories"]]},
        "LATER": {**truth, "images": [{"id": 1, "file_name": truth["images"][0]["file_name"]}, *truth["images"]]},
        "GONE": {**truth, "images": [*truth["images"], {"id": 1, "file_name": "gone.png"}]},
    }
    names = {"MODEL": str(shapes_onnx)}
    for name, content in variants.items():
        names[name] = str(scenes.parent / f"{name}.json")
        Path(names[name]).write_text(json.dumps(content))
    arguments = [
        "--output",
        str(tmp_path),
        "--dataset",
        str(scenes),
        *(names.get(option, option) for option in options),
    ]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "evaluate.json").exists()


def test_skip_missing(scenes: Path, shapes_onnx: Path, tmp_path: Path) -> None:
    truth = json.loads(scenes.read_text())
    for entry in truth["images"][2:]:
        entry["file_name"] = f"gone-{entry['id']}.png"
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(truth))
    arguments = [str(shapes_onnx), "--dataset", str(path), "--images", str(scenes.parent), "--output", str(tmp_path)]
    assert main([*arguments, "--skip-missing", "--limit", "1", "--threads", "1"]) == 0
    dataset = _written(tmp_path).dataset
    assert (dataset.images, dataset.missing_images) == (1, SCENES - 2)


def test_thresholds_reach_the_model(scenes: Path, shapes_onnx: Path) -> None:
    image = read_image(read_ground_truth(scenes).files[141])
    all_found = FilePredictor(shapes_onnx, threads=1).predict(image)
    few = FilePredictor(shapes_onnx, threads=1, score_threshold=0.9).predict(image)
    assert 0 < len(few) == sum(record["score"] > 0.9 for record in all_found) < len(all_found)


def test_images_of_another_size(scenes: Path, tmp_path: Path) -> None:
    """Their annotations would count as not found."""
    truth = json.loads(scenes.read_text())
    for entry in truth["images"][1:]:
        del entry["height"], entry["width"]
    for entry in truth["annotations"]:
        del entry["segmentation"]
    truth["images"][0]["height"] += 1
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(truth))
    dataset = read_ground_truth(path, scenes.parent)
    with pytest.raises(ArgumentError, match=r"00000.png has \d+x\d+ pixels .*, but its annotations are for \d+x\d+"):
        _quietly(Perfect(read_ground_truth(scenes)), dataset, tmp_path)
    rest = dataset.restrict(images=[entry["id"] for entry in truth["images"][1:]])
    _quietly(Perfect(read_ground_truth(scenes)), rest, tmp_path)


def test_settings_of_a_pytorch_model_are_part_of_it(shapes_model: Any) -> None:
    other = copy.deepcopy(shapes_model)

    def sha256(model: Any) -> str:
        return SourcePredictor(describe_model(model), Thresholds()).sha256

    assert sha256(shapes_model) == (before := sha256(other))
    other.roi_heads.detections_per_img -= 1
    assert before != sha256(other)


def test_one_result_per_image(scenes: Path) -> None:
    dataset = read_ground_truth(scenes)
    predictor = Perfect(dataset)
    results = list(predict_images(predictor, dataset.files, [None] * 9, io.StringIO()))
    assert [result.image_id for result in results] == list(dataset.files)
    assert all(isinstance(result, ImageResult) and not result.records and result.seconds >= 0 for result in results)
