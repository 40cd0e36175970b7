import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrt.contract.pipeline import Paste
from maskrt.runtime import Instances
from maskrt.runtime.inference.writers.coco import CocoResults
from maskrt.runtime.structures.masks import GridMasks

NAMES = ("__background__", "disk", "größe")


def some_instances(rng: np.random.Generator, with_masks: bool = True) -> Instances:
    corners = rng.uniform(0, 200, (5, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(40, 90, (5, 2))), axis=1).astype(np.float32)
    masks = GridMasks(rng.random((5, 28, 28), dtype=np.float32), boxes, (300, 310), Paste("integer_box", 0.5))
    return Instances(
        boxes=boxes,
        scores=rng.random(5, dtype=np.float32),
        labels=rng.integers(1, 3, 5).astype(np.int32),
        segmentations=masks if with_masks else None,
        class_names=NAMES,
        image_size=(300, 310),
    )


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_pycocotools_reads_both_files(rng: np.random.Generator, tmp_path: Path, kind: str) -> None:
    """The data set evaluated against the results list: the same instances, so AP 1."""
    results = CocoResults(NAMES)
    for image_id in (1, 2, 5):
        results.add(image_id, f"photos/{image_id}.jpg", some_instances(rng, with_masks=kind == "segm"))
    data_set, results_list = results.write(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data_set))
        evaluation = COCOeval(truth, truth.loadRes(str(results_list)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    assert truth.loadImgs(5)[0] == {"id": 5, "file_name": "photos/5.jpg", "width": 310, "height": 300}
    assert [category["name"] for category in truth.loadCats([1, 2])] == ["disk", "größe"]
    assert len(truth.getAnnIds()) == 15


def test_areas_are_those_of_the_masks(rng: np.random.Generator, tmp_path: Path) -> None:
    results = CocoResults(NAMES)
    instances = some_instances(rng)
    results.add(1, "a.jpg", instances)
    path, _ = results.write(tmp_path)
    annotations = json.loads(path.read_text())["annotations"]
    assert [one["area"] for one in annotations] == instances.masks().sum(axis=(1, 2)).tolist()


def test_nothing_found_is_valid_too(tmp_path: Path) -> None:
    data_set, results_list = CocoResults(NAMES).write(tmp_path)
    assert json.loads(data_set.read_text())["annotations"] == []
    assert json.loads(results_list.read_text()) == []
