import hashlib
import io
import re
import urllib.error
from dataclasses import replace

import pytest

from maskrt.export.checkpoints import CheckpointError, published
from maskrt.export.checkpoints.configs.detectron2 import zoo_config
from maskrt.export.checkpoints.published import check_sum, fetch, find_published, is_published_source
from maskrt.export.checkpoints.zoo import detectron2, mmdet

CONTENT = b"weights" * 1000


class Response(io.BytesIO):
    def __init__(self, content, length=None):
        super().__init__(content)
        self.headers = {} if length is None else {"Content-Length": str(length)}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A published model whose file is CONTENT."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digits = hashlib.md5(CONTENT).hexdigest()[:6]
    found = find_published("detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x")
    return replace(found, url=found.url.replace("f10217", digits), digits=digits)


@pytest.fixture
def serve(monkeypatch):
    """`serve(response or error)`; returns the list of the URLs that were asked for."""

    def serve(answer):
        asked = []

        def urlopen(url, timeout):
            asked.append(url)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(published, "urlopen", urlopen)
        return asked

    return serve


def test_every_model_has_a_sum_and_detectron2s_a_config():
    for name, each in detectron2.MODELS.items():
        zoo_config(name)
        if each.file:
            found = find_published(f"detectron2:{name}")
            assert found.url.startswith("https://dl.fbaipublicfiles.com/detectron2/")
            assert re.fullmatch("[0-9a-f]{6}", found.digits)
    for name in mmdet.MODELS:
        found = find_published(f"mmdet:{name}")
        assert found.url.startswith("https://download.openmmlab.com/mmdetection/v2.0/")
        assert re.fullmatch("[0-9a-f]{8}", found.digits)
        assert found.algorithm == "sha256"


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x", "137849600/model_final_f10217.pkl"),
        ("detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml", "137849600/model_final_f10217.pkl"),
        ("detectron2:Misc/cascade_mask_rcnn_R_50_FPN_3x", "144998488/model_final_480dd8.pkl"),
        ("detectron2:new_baselines/mask_rcnn_R_50_FPN_400ep_LSJ.py", "42019571/model_final_14d201.pkl"),
        ("mmdet:mask_rcnn_r50_fpn_1x_coco", "mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"),
        ("mmdet:mask-rcnn_r50_fpn_1x_coco.py", "mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"),
        ("mmdet:mask-rcnn_r50-caffe_fpn_ms-poly-3x_coco", "163245-42aa3d00.pth"),
        ("mmdet:faster-rcnn_r50-caffe-dc5_1x_coco", "faster_rcnn_r50_caffe_dc5_1x_coco_20201030_151909-531f0f43.pth"),
        ("mmdet:faster_rcnn_r50_fpn_giou_1x_coco", "faster_rcnn_r50_fpn_giou_1x_coco-0eada910.pth"),
    ],
)
def test_names(source, file):
    assert is_published_source(source)
    assert find_published(source).url.endswith(file)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("detectron2:mask_rcnn", "There is no published"),
        (
            "detectron2:COCO-InstanceSegmentation/mask_rcnn_R50_FPN_3x",
            "did you mean detectron2:COCO-InstanceSegmentation/",
        ),
        ("mmdet:mask-rcnn_r50_fpn_9x_coco", "did you mean mmdet:mask_rcnn_r50_fpn_"),
        ("detectron2:COCO-Detection/retinanet_R_50_FPN_1x", "is a RetinaNet. Expected a Faster, Mask"),
        ("detectron2:COCO-PanopticSegmentation/panoptic_fpn_R_50_1x", "is a panoptic FPN"),
        ("detectron2:Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5", "has deformable convolutions"),
        ("detectron2:new_baselines/mask_rcnn_regnetx_4gf_dds_FPN_100ep_LSJ", "has a RegNet"),
        ("detectron2:LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x", "publishes no weights .* --checkpoint FILE"),
        ("detectron2:", "There is no published"),
        ("timm:resnet50", "names no published model"),
    ],
)
def test_names_of_none(source, message):
    with pytest.raises(CheckpointError, match=message):
        find_published(source)


def test_a_file_is_downloaded_once_and_checked(model, serve, monkeypatch):
    seen = []
    asked = serve(Response(CONTENT, len(CONTENT)))
    path = fetch(model, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path == model.path
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(model) == path
    assert asked == [model.url]
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_file_in_the_cache_is_downloaded_again(model, serve):
    model.path.parent.mkdir(parents=True)
    model.path.write_bytes(CONTENT[:-1])
    serve(Response(CONTENT))
    assert fetch(model).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (urllib.error.URLError("no route to host"), "no route to host"),
        (urllib.error.HTTPError("u", 403, "Forbidden", None, None), "the server says 403"),
        (TimeoutError("timed out"), "timed out"),
        (Response(CONTENT[:-1], len(CONTENT)), "ended after 6999 of 7000 bytes"),
        (Response(b"<html>"), "is not the one that was published: its MD5 sum begins with"),
    ],
)
def test_without_the_internet_a_sentence_says_which_file_to_bring(model, serve, answer, message):
    serve(answer)
    with pytest.raises(CheckpointError, match=message) as caught:
        fetch(model)
    text = str(caught.value)
    assert model.url in text
    assert f"--checkpoint FILE with {model.source}" in text
    assert f"put it at {model.path}." in text
    assert not list(model.path.parent.iterdir())


def test_the_cache_cannot_be_written(model, serve, tmp_path):
    (tmp_path / "cache").write_text("a file")
    serve(Response(CONTENT))
    with pytest.raises(CheckpointError, match="Cannot download"):
        fetch(model)


def test_a_file_that_was_brought(model, tmp_path):
    path = tmp_path / model.path.name
    path.write_bytes(CONTENT)
    check_sum(path, model)
    path.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="is damaged: its MD5 sum does not begin with"):
        check_sum(path, model)
    mine = tmp_path / "fine-tuned.pth"
    mine.write_bytes(b"other")
    check_sum(mine, model)
