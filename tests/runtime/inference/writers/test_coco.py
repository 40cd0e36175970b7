import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrt.contract.pipeline import Paste
from maskrt.runtime import Instances, MaskrtError
from maskrt.runtime.inference.journal import Journal
from maskrt.runtime.inference.sources import PictureJob
from maskrt.runtime.inference.writers.coco import CocoJson
from maskrt.runtime.structures.masks import GridMasks

FILES = [Path(f"photos/{number}.jpg") for number in range(5)]
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


def write(folder: Path, images: dict[int, Instances]) -> tuple[Path, Path]:
    """The paths of both files, with the instances of images by their number in the source."""
    writer = CocoJson(folder, NAMES, Journal(folder, {}), files=FILES)
    for number, instances in images.items():
        job = PictureJob(FILES[number], instances=instances, number=number)
        writer.write(job, writer.prepare(job))
    (line,) = writer.close()
    paths = folder / "instances.json", folder / "results.json"
    assert line == f"COCO JSON: {paths[0]} (data set), {paths[1]} (results list)"
    return paths


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_pycocotools_reads_both_files(rng: np.random.Generator, tmp_path: Path, kind: str) -> None:
    """The data set evaluated against the results list: the same instances, so AP 1."""
    data_set, results_list = write(tmp_path, {i: some_instances(rng, with_masks=kind == "segm") for i in (0, 1, 4)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data_set))
        evaluation = COCOeval(truth, truth.loadRes(str(results_list)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    assert truth.loadImgs(5)[0] == {"id": 5, "file_name": "photos/4.jpg", "width": 310, "height": 300}
    assert [category["name"] for category in truth.loadCats([1, 2])] == ["disk", "größe"]
    assert len(truth.getAnnIds()) == 15


def test_areas_are_those_of_the_masks(rng: np.random.Generator, tmp_path: Path) -> None:
    instances = some_instances(rng)
    path, _ = write(tmp_path, {0: instances})
    annotations = json.loads(path.read_text())["annotations"]
    assert [one["area"] for one in annotations] == instances.masks().sum(axis=(1, 2)).tolist()


def test_nothing_found_is_valid_too(tmp_path: Path) -> None:
    data_set, results_list = write(tmp_path, {})
    assert json.loads(data_set.read_text())["annotations"] == []
    assert json.loads(results_list.read_text()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MaskrtError, match=r"instances\.jsonl cannot be written: "):
        Journal(tmp_path / "nowhere", {})
    (tmp_path / "out").mkdir()
    writer = CocoJson(tmp_path / "out", NAMES, Journal(tmp_path / "out", {}))
    (tmp_path / "out").rename(tmp_path / "gone")
    with pytest.raises(MaskrtError, match=r"instances\.json cannot be written: .* The instances are in .*\.jsonl\."):
        writer.close()
