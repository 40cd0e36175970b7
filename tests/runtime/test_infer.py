"""The command-line tool, from arguments to files and exit code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.runtime import infer, read_image
from maskrt.runtime.infer import main

WriteModel = Callable[..., Path]
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


def load(output: Path) -> dict:
    return json.loads((output / "instances.json").read_text())


def test_folder_with_bad_images(
    write_model: WriteModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main([str(write_model()), str(photos), "--output", str(output), "--timings"]) == 1
    data = load(output)
    assert [image["file_name"] for image in data["images"]] == [
        str(photos / name) for name in ("a.jpg", "more/a.jpg", "z.png")
    ]
    assert [(image["width"], image["height"]) for image in data["images"]] == [
        (120, 90),
        (150, 200),
        (44, 33),
    ]
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

    captured = capsys.readouterr()
    for bad in ("empty.jpg is empty", "cut.png is cut off", "text.jpeg is not an image"):
        assert bad in captured.err
    assert "3 images, 6 instances, 3 failed." in captured.out
    for stage in ("decode", "preprocess", "infer", "postprocess", "rle", "draw", "write"):
        assert stage in captured.out


def test_good_images_give_exit_code_0(write_model: WriteModel, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), f"{photos}/*.png"]
    (photos / "cut.png").unlink()
    assert main([*arguments, "--output", str(output), "--no-overlays"]) == 0
    assert len(load(output)["images"]) == 2
    assert not (output / "overlays").exists()


def test_batches_give_the_same_results(write_model: WriteModel, photos: Path, tmp_path: Path) -> None:
    """The bad images are left out of their batches."""
    outputs = [tmp_path / f"out{size}" for size in (1, 2, 8)]
    for output, size in zip(outputs, ("1", "2", "8"), strict=True):
        arguments = [str(write_model()), str(photos), "--output", str(output), "--batch-size", size]
        assert main(arguments) == 1
    assert load(outputs[0]) == load(outputs[1]) == load(outputs[2])


def test_thresholds(write_model: WriteModel, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), "--output", str(output)]
    assert main([*arguments, "--score-threshold", "0.7", "--nms-threshold", "0.3", "--threads", "1"]) == 0
    assert [annotation["score"] for annotation in load(output)["annotations"]] == [pytest.approx(0.9)]


def test_missing_inputs_do_not_stop_the_rest(
    write_model: WriteModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = [
        str(write_model()),
        "nowhere.jpg",
        "*.nothing",
        str(photos / "a.jpg"),
        "--output",
        str(output),
    ]
    assert main(arguments) == 1
    assert len(load(output)["images"]) == 1
    captured = capsys.readouterr()
    assert "nowhere.jpg: there is no such file." in captured.err
    assert "*.nothing: no file matches." in captured.err
    assert "2 failed" in captured.out


def test_model_without_masks(write_model: WriteModel, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main([str(write_model(masks=False)), str(photos / "a.jpg"), "--output", str(output)]) == 0
    assert "segmentation" not in load(output)["annotations"][0]
    assert (output / "overlays" / "a.jpg").exists()


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
    assert main(given) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(("maskrt-infer: ", "*.nothing: no file"))
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
    + [["--threads", "-1"], ["--unknown"]],
)
def test_bad_options(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["model.onnx", "a.jpg", *option])
    assert exit_info.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_an_image_that_fails_in_the_model_does_not_stop_the_rest(
    write_model: WriteModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = infer.Segmenter.preprocess

    def fail_on_tall_images(self: infer.Segmenter, images: list[np.ndarray]) -> object:
        if images[0].shape[0] == 200:
            raise MemoryError
        return preprocess(self, images)

    monkeypatch.setattr(infer.Segmenter, "preprocess", fail_on_tall_images)
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), str(photos / "more"), str(photos / "z.png")]
    assert main([*arguments, "--output", str(output)]) == 1
    assert [Path(image["file_name"]).name for image in load(output)["images"]] == ["a.jpg", "z.png"]


def test_an_overlay_that_cannot_be_written(
    write_model: WriteModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    (output / "overlays" / "a.jpg").mkdir(parents=True)
    (output / "overlays" / "a.jpg" / "file").touch()
    arguments = [str(write_model()), str(photos / "a.jpg"), str(photos / "z.png"), "--output", str(output)]
    assert main(arguments) == 1
    assert "a.jpg: its overlay cannot be written" in capsys.readouterr().err
    assert len(load(output)["images"]) == 1


def test_interrupt_keeps_what_is_finished(
    write_model: WriteModel,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted_read(path: Path) -> np.ndarray:
        if path.name == "z.png":
            raise KeyboardInterrupt
        return read_image(path)

    monkeypatch.setattr(infer, "read_image", interrupted_read)
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), str(photos / "z.png"), str(photos / "more")]
    assert main([*arguments, "--output", str(output)]) == 130
    data = load(output)
    assert [Path(image["file_name"]).name for image in data["images"]] == ["a.jpg"]
    assert len(data["annotations"]) == 2
    assert "Interrupted: 2 images were not reached." in capsys.readouterr().out


@pytest.mark.parametrize("command", [["-m", "maskrt.runtime.infer"], [str(ROOT / "runtime" / "infer.py")]])
def test_ctrl_c_in_a_real_process(write_model: WriteModel, photos: Path, tmp_path: Path, command: list[str]) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for i in range(3000):
        os.link(photos / "more" / "a.jpg", many / f"{i}.jpg")
    output = tmp_path / "out"
    arguments = [str(write_model()), str(many), "--output", str(output), "--threads", "1"]
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
    assert len(data["images"]) <= len(overlays) <= len(data["images"]) + 1
    assert not [overlay for overlay in overlays if overlay.suffix == ".tmp"]
