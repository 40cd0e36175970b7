"""The command on a real Ray of this machine: nothing is lost, whatever dies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.command import run_module
from maskrt.ray import Predictor
from maskrt.ray.blocks import Block, run_blocks
from maskrt.ray.deployment import build
from maskrt.ray.rows import Row, found_row
from maskrt.runtime import Segmenter

from ..support.bombs import jpeg_of_scans, png_bomb

ray = pytest.importorskip("ray", reason="Ray is not installed: `make ray-check` installs it, and runs this")
pytestmark = pytest.mark.slow


def main(arguments: list[str]) -> int:
    """`python -m maskrt.ray`, in this process and so on its cluster."""
    return run_module("maskrt.ray", "maskrt.ray.cli", arguments)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two workers, and a Ray Serve that kills none of its own for being slow on a busy machine."""
    for check in ("READY", "HEALTH"):
        os.environ[f"RAY_SERVE_PROXY_{check}_CHECK_TIMEOUT_S"] = "300"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def model(write_model: Callable[..., Path]) -> Path:
    return write_model()


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    """20 pictures of three sizes, one of which is damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(20):
        height = 48 + 16 * (i % 3)
        picture = rng.integers(0, 256, (height, 64, 3), np.uint8)
        (folder / f"{i:02}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (folder / "07.png").write_bytes(b"no picture")
    return folder


def rows_in(output: Path) -> list[Row]:
    """The rows of all parts, in the order of their names."""
    if parts := sorted(output.glob("part-*.jsonl")):
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    import pyarrow.parquet

    return [row for part in sorted(output.glob("*.parquet")) for row in pyarrow.parquet.read_table(part).to_pylist()]


def check(rows: list[Row], photos: Path, model: Path, score_threshold: float) -> None:
    """One row for each picture, with what `predict` finds in it."""
    segmenter = Segmenter(model)
    rows = sorted(rows, key=lambda row: row["file_name"])
    files = sorted(photos.iterdir())
    assert [row["file_name"] for row in rows] == list(map(str, files))
    for row, file in zip(rows, files, strict=True):
        if file.name == "07.png":
            assert "not an image" in row["error"] and row["instances"] == []
        else:
            found = segmenter.predict(file, score_threshold=score_threshold)
            # Arrow has all fields in all records.
            records = [
                {key: value for key, value in record.items() if value is not None} for record in row["instances"]
            ]
            assert {**row, "instances": records} == found_row(str(file), found) and len(found) > 0


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_the_command(model: Path, photos: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    arguments = [str(photos), "--model", str(model), "-o", str(output), "--format", form, "--score-threshold", "0.2"]
    assert main([*arguments, "--block-size", "6"]) == 1
    printed = capsys.readouterr()
    assert "19 pictures, 1 failed." in printed.out and "4 of 4 parts" in printed.err and "07.png" in printed.err
    check(rows_in(output), photos, model, 0.2)
    assert main(arguments) == 2
    assert "--resume goes on" in capsys.readouterr().err
    (output / f"part-000002.{form}").unlink()
    assert main([*arguments, "--resume"]) in (0, 1)
    assert "14 of 20 pictures done before." in capsys.readouterr().out
    check(rows_in(output), photos, model, 0.2)


def test_an_actor_that_is_killed_in_the_middle(model: Path, photos: Path) -> None:
    remote, started = ray.remote(num_cpus=1)(Predictor), list[Any]()
    rows = list[Row]()

    def start() -> Any:
        started.append(remote.remote(str(model), score_threshold=0.2))
        return started[-1]

    def finished(block: Block, found: list[Row]) -> None:
        if not rows:
            for actor in started:  # both: the one at work, and the one that has just done this
                ray.kill(actor)
        rows.extend(found)

    paths = sorted(map(str, photos.iterdir()))
    blocks = [Block(number, paths[number * 4 : number * 4 + 4]) for number in range(5)]
    run_blocks(start, 2, blocks, finished)
    assert len(started) > 2
    check(rows, photos, model, 0.2)


class Deadly(Predictor):
    """Dies of one picture, as of one that takes all memory."""

    def rows(self, paths: Any, contents: Any = None) -> list[Row]:
        if any(path.endswith("11.png") for path in paths):
            os._exit(1)
        return super().rows(paths, contents)


def test_a_picture_that_kills(model: Path, photos: Path) -> None:
    remote, rows = ray.remote(num_cpus=1)(Deadly), list[Row]()
    paths = [str(photos / f"{number:02}.png") for number in (10, 11, 12)]
    run_blocks(lambda: remote.remote(str(model)), 1, [Block(0, paths)], lambda _, found: rows.extend(found))
    assert [row["file_name"] for row in rows] == paths
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert "ended 3 times, by itself at last" in rows[1]["error"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--num-gpus", "1"], "The cluster has room for 0 actors of 1 CPUs and 1 GPUs: it has 2 CPUs and 0 GPUs"),
        (["--actors", "3"], "The cluster has room for 2 actors of 1 CPUs and 0 GPUs"),
        (["--nms-threshold", "2"], "expected a number from 0 to 1"),
    ],
    ids=["gpus", "actors", "threshold"],
)
def test_what_cannot_be_done(
    model: Path, photos: Path, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    try:
        code = main([str(photos), "--model", str(model), "-o", str(output), *arguments])
    except SystemExit as ended:  # argparse's
        code = ended.code
    assert code == 2 and sentence in capsys.readouterr().err


def test_paths_without_pictures_and_models_that_are_none(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "--model", str(model), "-o", str(tmp_path / "a")]) == 2
    assert "there is no image in this folder" in (printed := capsys.readouterr().err) and "nothing to do" in printed
    assert main([str(photos), "--model", str(tmp_path / "no.onnx"), "-o", str(tmp_path / "b")]) == 2
    assert "there is no such model file" in capsys.readouterr().err
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model.read_bytes()[:100])
    assert main([str(photos), "--model", str(damaged), "-o", str(tmp_path / "c")]) == 2
    assert "damaged.onnx" in (printed := capsys.readouterr().err) and "Traceback" not in printed


def test_map_batches(model: Path, photos: Path) -> None:
    files = ray.data.read_binary_files(str(photos), include_paths=True)
    rows = files.map_batches(
        Predictor,
        fn_constructor_args=[str(model)],
        fn_constructor_kwargs={"score_threshold": 0.2},
        batch_size=8,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).take_all()
    for row in rows:
        row["file_name"] = str(photos / Path(row["file_name"]).name)
        for side in ("width", "height"):  # a column with nulls may come as floating-point numbers
            row[side] = None if row[side] is None or row[side] != row[side] else int(row[side])
    check(rows, photos, model, 0.2)


def test_a_deployment(model: Path, photos: Path) -> None:
    import urllib.error
    import urllib.request

    from ray import serve

    handle = serve.run(build(str(model), num_cpus=0.5, batch_size=4, max_bytes=100_000), name="test", route_prefix="/")
    try:
        files = [file for file in sorted(photos.iterdir()) if file.name != "07.png"]
        thresholds = [0.05 + 0.04 * i for i in range(len(files))]
        pending = [
            handle.predict.remote(file.read_bytes(), score_threshold=threshold)
            for file, threshold in zip(files, thresholds, strict=True)
        ]
        segmenter = Segmenter(model)
        for answer, file, threshold in zip(pending, files, thresholds, strict=True):
            expected = segmenter.predict(file, score_threshold=threshold)
            assert found_row("", answer.result(timeout_s=120)) == found_row("", expected)
        url = "http://127.0.0.1:8000/?score_threshold=0.2"
        with urllib.request.urlopen(url, data=files[0].read_bytes(), timeout=120) as response:
            content = json.load(response)
        expected = segmenter.predict(files[0], score_threshold=0.2)
        assert content == {"image_size": [48, 64], "instances": found_row("", expected)["instances"]}
        for body, status, sentence in (
            (b"no picture", 400, "The picture is not an image"),
            (b"x" * 100_001, 413, "The body has more than the 100,000 bytes that are taken."),
            (png_bomb(), 413, "60000x60000 pixels; at most 50,000,000 are decoded"),
            (jpeg_of_scans(101), 413, "a JPEG of 101 scans; at most 100 are decoded"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url, data=body, timeout=120)
            assert refused.value.code == status and sentence in json.load(refused.value)["error"]
    finally:
        serve.shutdown()
