"""What was published beside what was measured; and `make coco`, on a data set that is laid out as COCO is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from maskrt.export.checkpoints.published import find_published
from maskrt.tools.published_ap import ZOOS, PublishedAp, main, published_ap

ROOT = Path(__file__).resolve().parents[2]
TORCHVISION = ["maskrcnn_resnet50_fpn", "--weights", "COCO_V1"]


@pytest.mark.parametrize("source", ZOOS)
def test_each_model_of_the_zoos_can_be_exported_by_that_name(source: str) -> None:
    assert find_published(source).source == source
    assert published_ap(source, None) == ZOOS[source]


def test_other_spellings() -> None:
    assert published_ap("mmdet:mask-rcnn_r50_fpn_1x_coco", None) == PublishedAp(38.2, 34.7)
    assert published_ap("mmdet:nothing", None) is None


def test_what_torchvision_published() -> None:
    assert published_ap("maskrcnn_resnet50_fpn", "COCO_V1") == PublishedAp(37.9, 34.6)
    assert published_ap("keypointrcnn_resnet50_fpn", "COCO_V1") == PublishedAp(54.6, keypoints=65.0)
    assert published_ap("maskrcnn_resnet50_fpn", "MINE") is None
    assert published_ap("no_builder", "COCO_V1") is None
    assert published_ap("model.pth", None) is None


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("MASKRT_LONG_TESTS") != "1", reason="takes minutes; `make test-long` runs it")
def test_make_coco(tmp_path: Path) -> None:
    """Sixteen scenes in the place of COCO, the demo model in that of a real one."""
    from maskrt.shapes.dataset import main as write_scenes

    coco, out = tmp_path / "coco", tmp_path / "out"
    for split, folder in (("test", "val2017"), ("train", "train2017")):
        assert write_scenes(["--split", split, "--limit", "8", "--output", str(coco / folder)]) == 0
    truth = json.loads((coco / "val2017" / "annotations.json").read_text())
    (coco / "annotations").mkdir()
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(truth))
    for folder in ("val2017", "train2017"):
        (coco / folder / "annotations.json").unlink()
    variables = [f"COCO={coco}", f"OUT={out}", "MODEL=maskrt.shapes.model:shapes_model", "LIMIT=3"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "coco", *variables], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "coco" / "report" / "index.html").is_file()
    *_, head, pytorch, fp32, fp16, int8, unknown, other = done.stdout.splitlines()
    assert head.split() == ["box", "mask", "keypoints"]
    assert [line.split()[0] for line in (pytorch, fp32, fp16, int8)] == [
        "PyTorch",
        *(f"model.{precision}.onnx" for precision in ("fp32", "fp16", "int8")),
    ]
    assert unknown == "maskrt knows of no published AP of this model."
    assert other.startswith("Measured on 3 images, where val2017 has 5000")
    shutil.rmtree(coco / "val2017")
    done = subprocess.run(["make", "coco", *variables], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"There is no {coco}/val2017. Give COCO=FOLDER" in done.stderr


def test_results_of_another_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.json"
    path.write_text("{}")
    assert main([str(path), *TORCHVISION]) == 2
    assert "is no result of maskrt" in capsys.readouterr().err
