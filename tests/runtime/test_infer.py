"""The command-line tool, from arguments to files and exit code."""

import base64
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.runtime import Instances, ModelError, Segmenter, draw_instances, read_image
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.infer import main
from maskrt.runtime.inference import run as infer_run
from maskrt.runtime.inference.writers import overlay
from maskrt.runtime.streaming.pipeline import PipelineError
from maskrt.runtime.tiling.predict import predict_tiled
from maskrt.runtime.transforms.canvas import Batch

WriteModel = Callable[..., Path]
Infer = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Three good images (two share a name) and three bad ones among them."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, size in (("a.jpg", (90, 120)), ("more/a.jpg", (200, 150)), ("z.png", (33, 44))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    (folder / "empty.jpg").touch()
    (folder / "cut.png").write_bytes((folder / "z.png").read_bytes()[:200])
    (folder / "text.jpeg").write_text("not an image")
    (folder / "notes.txt").write_text("is not looked at")
    return folder


@pytest.fixture
def good_photos(photos: Path) -> list[Path]:
    """The three good ones; the second is tall, 200x150 pixels."""
    return [photos / "a.jpg", photos / "more" / "a.jpg", photos / "z.png"]


def load(output: Path) -> dict:
    return json.loads((output / "instances.json").read_text())


def names_in(output: Path) -> list[str]:
    return [Path(image["file_name"]).name for image in load(output)["images"]]


def test_folder_with_bad_images(infer: Infer, photos: Path, good_photos: list[Path]) -> None:
    code, out, err, output = infer(photos, "--timings")
    assert code == 1
    data = load(output)
    assert [image["file_name"] for image in data["images"]] == list(map(str, good_photos))
    assert [(image["width"], image["height"]) for image in data["images"]] == [(120, 90), (150, 200), (44, 33)]
    assert [category["name"] for category in data["categories"]] == ["disk", "star", "größe"]
    assert len(data["annotations"]) == 6
    ids = {image["id"]: image for image in data["images"]}
    for annotation in data["annotations"]:
        image = ids[annotation["image_id"]]
        mask = coco_mask.decode(annotation["segmentation"])
        assert mask.shape == (image["height"], image["width"])
        assert mask.sum() == annotation["area"]
    assert len(json.loads((output / "results.json").read_text())) == 6

    overlays = sorted((output / "overlays").iterdir())
    assert [overlay.name for overlay in overlays] == ["a.jpg", "a_2.jpg", "z.jpg"]
    assert read_image(overlays[1]).shape == (200, 150, 3)

    for bad in ("empty.jpg is empty", "cut.png is cut off", "text.jpeg is not an image"):
        assert bad in err
    assert "3 images, 6 instances, 3 failed." in out
    for stage in ("decode", "preprocess", "infer", "postprocess", "rle", "draw", "write"):
        assert stage in out


def test_a_large_folder(infer: Infer, photos: Path, good_photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("maskrt.runtime.infer"), "LARGE", 4)
    _, _, err, _ = infer(photos)
    assert "There are 6 pictures." in err and f"`python -m maskrt.ray {photos} --model " in err
    _, _, err, _ = infer(*good_photos)
    assert "maskrt.ray" not in err


def test_good_images_give_exit_code_0(infer: Infer, photos: Path) -> None:
    (photos / "cut.png").unlink()
    ended = infer(photos / "a.jpg", f"{photos}/*.png", "--no-overlays")
    assert ended.code == 0
    assert len(load(ended.folder)["images"]) == 2
    assert not (ended.folder / "overlays").exists()


def test_batches_give_the_same_results(infer: Infer, photos: Path) -> None:
    """The bad images are left out of their batches."""
    ended = [infer(photos, "--batch-size", size, output=f"out{size}") for size in (1, 2, 8)]
    assert [one.code for one in ended] == [1, 1, 1]
    assert load(ended[0].folder) == load(ended[1].folder) == load(ended[2].folder)


def test_warm_up(infer: Infer, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For batches of the size that is asked for, before the first image is read."""
    shapes: list[tuple[int, ...]] = []
    original = Segmenter.infer

    def record(self: Segmenter, batch: Batch, **thresholds: Any) -> Detections:
        shapes.append((len(batch.original_sizes), *batch.original_sizes[0]))
        return original(self, batch, **thresholds)

    monkeypatch.setattr(Segmenter, "infer", record)
    ended = infer(photos / "a.jpg", "--batch-size", "2", "--warm-up", "64x80", "200x30")
    assert ended.code == 0
    assert shapes == [(2, 64, 80), (2, 64, 80), (2, 200, 30), (2, 200, 30), (1, 90, 120)]
    assert len(load(ended.folder)["annotations"]) == 2


def test_thresholds(infer: Infer, photos: Path) -> None:
    ended = infer(photos / "a.jpg", "--score-threshold", "0.7", "--nms-threshold", "0.3")
    assert ended.code == 0
    assert [annotation["score"] for annotation in load(ended.folder)["annotations"]] == [pytest.approx(0.9)]


def test_missing_inputs_do_not_stop_the_rest(infer: Infer, photos: Path) -> None:
    code, out, err, output = infer("nowhere.jpg", "*.nothing", photos / "a.jpg")
    assert code == 1
    assert names_in(output) == ["a.jpg"]
    assert "nowhere.jpg: there is no such file." in err
    assert "*.nothing: no file matches." in err
    assert "2 failed" in out


def test_model_without_masks(infer: Infer, write_model: WriteModel, photos: Path) -> None:
    ended = infer(photos / "a.jpg", model=write_model(masks=False))
    assert ended.code == 0
    assert "segmentation" not in load(ended.folder)["annotations"][0]
    assert (ended.folder / "overlays" / "a.jpg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "*.nothing"], "no image was found"),
        (["nowhere.onnx", "PHOTO"], "nowhere.onnx: there is no such file"),
        (["PHOTO", "PHOTO"], "ends in .onnx"),
        (["MODEL", "PHOTO", "--output", "MODEL"], "cannot be written"),
        (["MODEL", "PHOTO", "--output", "MODEL/below"], "cannot be written"),
    ],
)
def test_nothing_can_be_done(
    write_model: WriteModel,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model()
    given = [argument.replace("MODEL", "model.onnx").replace("PHOTO", str(photos / "a.jpg")) for argument in arguments]
    assert main([given[0], "--images", *given[1:]]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(("maskrt infer: ", "*.nothing: no file"))
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option",
    [
        ["--score-threshold", "2"],
        ["--score-threshold", "x"],
        ["--nms-threshold", "nan"],
        ["--batch-size", "0"],
    ]
    + [["--threads", "-1"], ["--unknown"], ["--tile", "800"], ["--tile", "0x9"], ["--warm-up", "99999x99999"]]
    + [["--images", ""], ["--output", ""]],  # of a shell's variable that is not set
)
def test_bad_options(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["model.onnx", "--images", "a.jpg", *option])
    assert exit_info.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_more_threads_than_there_are_cores(infer: Infer, photos: Path) -> None:
    assert infer(photos / "a.jpg", "--threads", 10**12).code == 0


def test_an_input_where_the_results_go_is_not_replaced(infer: Infer, photos: Path, tmp_path: Path) -> None:
    inside = tmp_path / "out" / "overlays" / "a.jpg"
    inside.parent.mkdir(parents=True)
    content = (photos / "a.jpg").read_bytes()
    inside.write_bytes(content)
    code, _, err, _ = infer(photos / "a.jpg", tmp_path / "out")
    assert code == 2
    assert f"{inside} lies where the results go, and would be replaced. Choose another --output." in err
    assert inside.read_bytes() == content
    assert infer(tmp_path / "out", "--no-overlays").code == 0  # which replaces nothing


def test_a_file_name_that_is_no_text(infer: Infer, photos: Path, tmp_path: Path) -> None:
    """Linux takes any bytes for a name; Python shows those that are no UTF-8 as lone surrogates."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfc\xdfe.jpg"))
    try:
        (photos / "a.jpg").rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    ended = infer(odd)
    assert ended.code == 0
    (image,) = load(ended.folder)["images"]
    assert image["file_name"] == f"{tmp_path}/gr\\xfc\\xdfe.jpg"
    assert base64.b64decode(image["file_name_base64"]) == os.fsencode(odd)


def test_an_image_that_fails_in_the_model_does_not_stop_the_rest(
    infer: Infer, good_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = Segmenter.preprocess

    def fail_on_tall_images(self: Segmenter, images: list[np.ndarray]) -> object:
        if images[0].shape[0] == 200:
            raise MemoryError
        return preprocess(self, images)

    monkeypatch.setattr(Segmenter, "preprocess", fail_on_tall_images)
    ended = infer(*good_photos)
    assert ended.code == 1
    assert names_in(ended.folder) == ["a.jpg", "z.png"]


def test_an_overlay_that_cannot_be_written(infer: Infer, good_photos: list[Path], tmp_path: Path) -> None:
    in_its_place = tmp_path / "out" / "overlays" / "a.jpg"
    in_its_place.mkdir(parents=True)
    (in_its_place / "file").touch()
    code, _, err, output = infer(good_photos[0], good_photos[2])
    assert code == 1
    assert "a.jpg: its overlay cannot be written" in err
    assert names_in(output) == ["z.png"]


def test_an_overlay_that_no_jpeg_can_hold(infer: Infer, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "long.png"), np.zeros((1, 65501, 3), np.uint8))
    code, _, err, output = infer(tmp_path / "long.png")
    assert code == 1
    assert "long.png: its overlay cannot be written: a JPEG cannot hold 65501x1 pixels." in err
    assert names_in(output) == []


def test_interrupt_keeps_what_is_finished(interrupted_infer: Infer, good_photos: list[Path]) -> None:
    """A SIGINT while the second image is read and the third waits: the main thread is anywhere then."""
    code, out, _, output = interrupted_infer("picture", good_photos[0], good_photos[2], good_photos[1])
    assert code == 130
    names = names_in(output)
    assert names in ([], ["a.jpg"])
    assert len(load(output)["annotations"]) == 2 * len(names)
    assert [path.name for path in (output / "overlays").iterdir()] == names
    assert f"Interrupted: {3 - len(names)} images not reached." in out


def test_a_stage_that_dies_takes_one_image_with_it(
    infer: Infer, good_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises: the image is reported, and the rest goes on."""

    def dying_draw(image: np.ndarray, instances: Instances, **options: Any) -> np.ndarray:
        if image.shape[0] == 200:
            raise SystemExit(0)
        return draw_instances(image, instances, **options)

    monkeypatch.setattr(overlay, "draw_instances", dying_draw)
    code, out, err, output = infer(*good_photos)
    assert code == 1
    assert names_in(output) == ["a.jpg", "z.png"]
    assert "more/a.jpg: The draw stage failed: SystemExit 0" in err
    assert "2 images, 4 instances, 1 failed." in out


def test_a_pipeline_that_cannot_go_on(infer: Infer, good_photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[object]:
        raise PipelineError("The thread of the infer stage was ended: SystemExit")
        yield

    monkeypatch.setattr(infer_run, "run_pipeline", broken)
    code, _, err, output = infer(*good_photos)
    assert code == 1
    assert "maskrt infer: The thread of the infer stage was ended: SystemExit" in err
    assert names_in(output) == []


def test_one_bad_image_does_not_lose_its_batch(
    infer: Infer, good_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = Segmenter.infer

    def fail_on_tall_images(self: Segmenter, batch: Batch, **options: float) -> object:
        if (200, 150) in batch.original_sizes:
            raise ModelError("out of device memory.")
        return segment(self, batch, **options)

    monkeypatch.setattr(Segmenter, "infer", fail_on_tall_images)
    ended = infer(*good_photos, "--batch-size", "8")
    assert ended.code == 1
    assert names_in(ended.folder) == ["a.jpg", "z.png"]


def test_tiles(infer: Infer, good_photos: list[Path], tmp_path: Path) -> None:
    tall = good_photos[1]
    ended = infer(tall, "--tile", "80x90", "--batch-size", "3")
    assert ended.code == 0
    expected = predict_tiled(Segmenter(tmp_path / "model.onnx"), read_image(tall), tile_size=(80, 90))
    assert len(load(ended.folder)["annotations"]) == len(expected) > 2
    refused = infer(tall, "--tile", "8x8")
    assert refused.code == 1
    assert "A tile should be at least 64x64 pixels" in refused.err


@pytest.mark.parametrize("command", [["-m", "maskrt.runtime.infer"], [str(ROOT / "runtime" / "infer.py")]])
def test_ctrl_c_in_a_real_process(write_model: WriteModel, photos: Path, tmp_path: Path, command: list[str]) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for i in range(3000):
        os.link(photos / "more" / "a.jpg", many / f"{i}.jpg")
    output = tmp_path / "out"
    arguments = [str(write_model()), "--images", str(many), "--output", str(output), "--threads", "1"]
    with subprocess.Popen(
        [sys.executable, *command, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for _ in range(3):
            process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Interrupted" in out
    data = load(output)
    assert 3 <= len(data["images"]) < 3000
    assert len(data["annotations"]) == 2 * len(data["images"])
    overlays = list((output / "overlays").iterdir())
    assert len(overlays) == len(data["images"])
    assert not [overlay for overlay in overlays if overlay.suffix == ".tmp"]


def test_overlays_show_what_the_model_is_sure_of(infer: Infer, good_photos: list[Path]) -> None:
    """The JSON has all that it finds."""
    pictures = {}
    for threshold in (None, "0", "0.8", "1"):
        options = [] if threshold is None else ["--overlay-threshold", threshold]
        ended = infer(good_photos[1], *options, output=f"out{threshold}")
        assert ended.code == 0
        assert len(load(ended.folder)["annotations"]) == 2
        pictures[threshold] = read_image(ended.folder / "overlays" / "a.jpg")
    assert (pictures["0"] != pictures["0.8"]).any()
    assert (pictures["0.8"] != pictures["1"]).any()
    original = read_image(good_photos[1]).astype(int)
    assert np.abs(pictures["1"] - original).mean() < 12


@pytest.mark.parametrize("option", [["--no-labels"], ["--boxes"], ["--thickness", "7"]], ids=str)
def test_how_overlays_are_drawn(infer: Infer, good_photos: list[Path], option: list[str]) -> None:
    plain, other = infer(good_photos[1]), infer(good_photos[1], *option, output="other")
    assert (plain.code, other.code) == (0, 0)
    name = "overlays/a.jpg"
    assert (read_image(plain.folder / name) != read_image(other.folder / name)).any()
    assert load(plain.folder) == load(other.folder)
