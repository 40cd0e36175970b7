"""Models by the names of their zoos, from a server on this machine that has what the frameworks publish."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maskrt.export import cli
from maskrt.export.checkpoints import CheckpointError
from maskrt.export.checkpoints.published import find_published, shown_on
from maskrt.export.checkpoints.zoo import detectron2, mmdet
from maskrt.export.families.base import load_source
from maskrt.options import SourceOptions

from ...support.references import reference_model

DETECTRON2 = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"
MMDET = "mask_rcnn_r50_fpn_1x_coco"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    """A server with a small model of each framework under the name of a published one; what it was asked for."""
    folder = tmp_path / "server"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    handler = type("Asked", (Handler,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"

    content = reference_model("d2_mask_rcnn_R_50_FPN").write_checkpoint(tmp_path).read_bytes()
    file = f"1/model_final_{hashlib.md5(content).hexdigest()[:6]}.pth"
    path = folder / DETECTRON2 / file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setattr(detectron2, "URL", url)
    model = replace(detectron2.MODELS[DETECTRON2], file=file)
    monkeypatch.setattr(detectron2, "MODELS", {**detectron2.MODELS, DETECTRON2: model})

    content = reference_model("mm_mask-rcnn_r50_fpn").write_checkpoint(tmp_path).read_bytes()
    file = f"mask_rcnn/mask_rcnn_r50_fpn_1x_coco_20200205-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / "mask_rcnn").mkdir()
    (folder / file).write_bytes(content)
    monkeypatch.setattr(mmdet, "URL", url)
    monkeypatch.setattr(mmdet, "MODELS", {**mmdet.MODELS, MMDET: file})
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("source", [f"detectron2:{DETECTRON2}", f"mmdet:{MMDET}", "mmdet:mask-rcnn_r50_fpn_1x_coco"])
def test_a_name_is_a_model(zoo: type[Handler], source: str) -> None:
    loaded = load_source(SourceOptions(source))
    assert loaded.spec.mask_head is not None
    assert loaded.spec.detection.num_labels == 6
    assert len(zoo.asked) == 1
    assert load_source(SourceOptions(source)).spec == loaded.spec
    assert len(zoo.asked) == 1  # it is in the cache


def test_without_the_file_a_sentence_says_which_to_bring(zoo, tmp_path, capsys):
    published = find_published("detectron2:COCO-Detection/faster_rcnn_R_50_FPN_1x")
    assert cli.main([published.source, "--output", str(tmp_path / "model.onnx")]) == 2
    message = capsys.readouterr().err
    assert f"Cannot download {published.url}: the server says 404." in message
    assert f"--checkpoint FILE with {published.source}; or put it at {published.path}." in message
    assert "Traceback" not in message
    assert not (tmp_path / "model.onnx").exists()


def test_a_file_that_is_not_the_published_one_is_refused(zoo, tmp_path):
    path = tmp_path / "server" / DETECTRON2 / "1"
    (file,) = path.iterdir()
    file.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="is not the one that was published: its MD5 sum begins with"):
        load_source(SourceOptions(f"detectron2:{DETECTRON2}"))


def test_progress_is_for_terminals():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    model, terminal = find_published(f"mmdet:{MMDET}"), Terminal()
    assert shown_on(io.StringIO(), model) is None
    draw = shown_on(terminal, model)
    assert draw is not None
    draw(1_000_000, 178_000_000)
    draw(178_000_000, 178_000_000)
    assert terminal.getvalue().split("\r\033[K")[1:] == [
        f"Downloading mmdet:{MMDET}: 1.0 of 178.0 MB",
        f"Downloading mmdet:{MMDET}: 178.0 of 178.0 MB\n",
    ]
