"""The command-line tool, from arguments to files and exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.runtime import Instances, ModelError, Segmenter, draw_instances, infer_images, read_image, segmenter
from maskrt.runtime.infer import main
from maskrt.runtime.pipeline import PipelineError
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tiles import predict_tiled

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
    + [["--threads", "-1"], ["--unknown"], ["--tile", "800"], ["--tile", "0x9"]],
)
def test_bad_options(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["model.onnx", "a.jpg", *option])
    assert exit_info.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_an_image_that_fails_in_the_model_does_not_stop_the_rest(
    write_model: WriteModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = Segmenter.preprocess

    def fail_on_tall_images(self: Segmenter, images: list[np.ndarray]) -> object:
        if images[0].shape[0] == 200:
            raise MemoryError
        return preprocess(self, images)

    monkeypatch.setattr(Segmenter, "preprocess", fail_on_tall_images)
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
    """A SIGINT while the second image is read and the third waits: the main thread is anywhere then."""

    def interrupted_read(path: Path) -> np.ndarray:
        if path.name == "z.png":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return read_image(path)

    monkeypatch.setattr(segmenter, "read_image", interrupted_read)
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), str(photos / "z.png"), str(photos / "more")]
    assert main([*arguments, "--output", str(output)]) == 130
    data = load(output)
    names = [Path(image["file_name"]).name for image in data["images"]]
    assert names in ([], ["a.jpg"])
    assert len(data["annotations"]) == 2 * len(names)
    assert [path.name for path in (output / "overlays").iterdir()] == names
    assert f"Interrupted: {3 - len(names)} images were not reached." in capsys.readouterr().out


def test_a_stage_that_dies_takes_one_image_with_it(
    write_model: WriteModel,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it raises: the image is reported, and the rest goes on."""

    def dying_draw(image: np.ndarray, instances: Instances) -> np.ndarray:
        if image.shape[0] == 200:
            raise SystemExit(0)
        return draw_instances(image, instances)

    monkeypatch.setattr(infer_images, "draw_instances", dying_draw)
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), str(photos / "more"), str(photos / "z.png")]
    assert main([*arguments, "--output", str(output)]) == 1
    assert [Path(image["file_name"]).name for image in load(output)["images"]] == ["a.jpg", "z.png"]
    captured = capsys.readouterr()
    assert "more/a.jpg: The draw stage failed: SystemExit 0" in captured.err
    assert "2 images, 4 instances, 1 failed." in captured.out


def test_a_pipeline_that_cannot_go_on(
    write_model: WriteModel,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Iterator[object]:
        raise PipelineError("The thread of the infer stage was ended: SystemExit")
        yield

    monkeypatch.setattr(infer_images, "run_pipeline", broken)
    assert main([str(write_model()), str(photos / "a.jpg"), "--output", str(tmp_path / "out")]) == 1
    assert "maskrt-infer: The thread of the infer stage was ended: SystemExit" in capsys.readouterr().err
    assert load(tmp_path / "out")["images"] == []


def test_one_bad_image_does_not_lose_its_batch(
    write_model: WriteModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = Segmenter.infer

    def fail_on_tall_images(self: Segmenter, batch: Batch, **options: float) -> object:
        if (200, 150) in batch.original_sizes:
            raise ModelError("out of device memory.")
        return segment(self, batch, **options)

    monkeypatch.setattr(Segmenter, "infer", fail_on_tall_images)
    output = tmp_path / "out"
    arguments = [str(write_model()), str(photos / "a.jpg"), str(photos / "more"), str(photos / "z.png")]
    assert main([*arguments, "--output", str(output), "--batch-size", "8"]) == 1
    assert [Path(image["file_name"]).name for image in load(output)["images"]] == ["a.jpg", "z.png"]


def test_tiles(write_model: WriteModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(write_model()), str(photos / "more" / "a.jpg"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--tile", "80x90", "--batch-size", "3"]) == 0
    tall = read_image(photos / "more" / "a.jpg")
    expected = predict_tiled(Segmenter(tmp_path / "model.onnx"), tall, tile_size=(80, 90))
    assert len(load(tmp_path / "out")["annotations"]) == len(expected) > 2
    assert main([*arguments, "--tile", "8x8"]) == 1
    assert "A tile should be at least 64x64 pixels" in capsys.readouterr().err


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
    assert len(overlays) == len(data["images"])
    assert not [overlay for overlay in overlays if overlay.suffix == ".tmp"]
