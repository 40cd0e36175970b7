"""`maskrt infer` that is ended from outside, or runs out of disk space: what is left, and how it goes on."""

import base64
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.inference.journal import file_name
from maskrt.runtime.inference.writers import overlay
from maskrt.runtime.video.reader import VideoReader

Infer = Callable[..., Any]
MakeClip = Callable[..., Path]
WriteModel = Callable[..., Path]
SECONDS = 60


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    files = [folder / f"{number}.png" for number in range(6)]
    for file in files:
        cv2.imwrite(str(file), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    return files


def load(output: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return json.loads((output / "instances.json").read_text()), json.loads((output / "results.json").read_text())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def end(command: list[str], number: signal.Signals, ready: Callable[[], bool]) -> tuple[int, str, str]:
    """Run a command until `ready`, then send it a signal: its exit code and what it said."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + SECONDS
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_folder(write_model: WriteModel, infer: Infer, photos: list[Path], number: signal.Signals) -> None:
    """What is finished is there, and --resume does the rest: the same results as those of one run."""
    many = photos[0].parent
    for copy in range(600):
        (many / f"copy{copy:03}.png").hardlink_to(photos[0])
    model, output = write_model(), many.parent / "out"
    command = ["-m", "maskrt.runtime.infer", str(model), "--images", str(many), "-o", str(output), "--threads", "1"]
    journal = output / "instances.jsonl"
    code, out, err = end(command, number, lambda: size(journal) > 5000)
    assert "Traceback" not in err
    found = lines(journal)[1:]
    assert 3 <= len(found) < 606
    if number == signal.SIGKILL:
        assert code == -number
        assert not (output / "instances.json").exists()
    else:
        assert code == 130
        assert "Interrupted: " in out
        data, results = load(output)
        assert [image["file_name"] for image in data["images"]] == [line["file_name"] for line in found]
        assert len(results) == sum(len(line["instances"]) for line in found)
        assert {path.name for path in (output / "overlays").iterdir()} == {
            Path(name).name for line in found for name in line["files"]
        }

    ended = infer(many, "--resume", model=model)
    assert ended.code == 0, ended.err
    assert f"{len(found)} images done before." in ended.out
    assert f"{606 - len(found)} images, " in ended.out
    assert infer(many, model=model, output="whole").code == 0
    assert load(output) == load(output.parent / "whole")
    assert len(list((output / "overlays").iterdir())) == 606


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_video(write_model: WriteModel, make_clip: MakeClip, tmp_path: Path, number: signal.Signals) -> None:
    clip = make_clip("clip.ts", times=range(200), size=(32, 32))
    clip.write_bytes(clip.read_bytes() * 20)  # one recording behind the other
    output = tmp_path / "out"
    command = ["-m", "maskrt.runtime.infer", str(write_model()), "--images", str(clip), "-o", str(output)]
    partial, whole = output / "clip.partial.mp4", output / "clip.mp4"
    code, _, err = end([*command, "--threads", "1"], number, lambda: size(partial) > 20_000)
    assert "Traceback" not in err
    assert code == (-number if number == signal.SIGKILL else 130)
    names = {path.name for path in output.iterdir()}
    left = partial if number == signal.SIGKILL else whole
    assert names == {left.name, "clip.jsonl"}
    with VideoReader(str(left)) as reader:
        frames = sum(1 for _ in reader.pictures())
    assert frames > 10
    records = (output / "clip.jsonl").read_text().splitlines()
    assert frames <= len(records) if number == signal.SIGKILL else frames == len(records)


def test_resume_with_nothing_to_go_on_from(infer: Infer, photos: list[Path], make_clip: MakeClip) -> None:
    ended = infer(photos[0], "--resume")
    assert ended.code == 2
    assert "There is nothing to go on from" in ended.err
    ended = infer(make_clip(times=range(2)), "--resume")
    assert ended.code == 2
    assert "--resume goes on with image files; videos are done anew." in ended.err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--score-threshold", "0.7"], "score_threshold"),
        (["--nms-threshold", "0.7"], "nms_threshold"),
        (["--tile", "64x64"], "tile"),
        (["--no-overlays"], "overlays"),
        ([], "model"),
    ],
)
def test_resume_of_another_run(
    infer: Infer, write_model: WriteModel, photos: list[Path], options: list[str], what: str
) -> None:
    assert infer(photos[0]).code == 0
    model = write_model("other.onnx", masks=False) if what == "model" else None
    ended = infer(*photos, "--resume", *options, model=model)
    assert ended.code == 2
    assert f"differs in: {what}" in ended.err
    assert infer(*photos, "--resume").code == 0


@pytest.mark.parametrize("damage", ["cut", "text", "header", "empty", "type", "base64"])
def test_resume_with_a_damaged_journal(infer: Infer, photos: list[Path], damage: str) -> None:
    """A line that was cut short is done again; what makes no sense is refused."""
    assert infer(*photos[:3]).code == 0
    journal = photos[0].parents[1] / "out" / "instances.jsonl"
    content = journal.read_bytes()
    if damage in ("type", "base64"):
        header, *found = lines(journal)
        found[1] |= {"stem": 3} if damage == "type" else {"file_name_base64": "\u00e4"}
        content = "".join(json.dumps(line) + "\n" for line in (header, *found)).encode()
    else:
        content = {"cut": content[:-30], "text": b"text\n" + content, "header": content[40:], "empty": b""}[damage]
    journal.write_bytes(content)
    ended = infer(*photos[:3], "--resume")
    assert "Traceback" not in ended.err
    if damage == "cut":
        assert ended.code == 0
        assert "2 images done before." in ended.out
    else:
        assert ended.code == 2
        assert "differs in" in ended.err or "is damaged" in ended.err


def test_resume_does_what_failed_and_what_changed(infer: Infer, photos: list[Path]) -> None:
    good = photos[1].read_bytes()
    photos[1].write_bytes(good[:100])
    assert infer(*photos[:3]).code == 1
    photos[1].write_bytes(good)
    os.utime(photos[2], (1, 1))
    ended = infer(*photos[:4], "--resume")
    assert ended.code == 0
    assert "1 image done before." in ended.out
    data, results = load(ended.folder)
    assert [(image["id"], Path(image["file_name"]).name) for image in data["images"]] == [
        *((1, "0.png"), (2, "1.png"), (3, "2.png"), (4, "3.png")),
    ]
    assert len(results) == 8


def test_resume_with_other_files(infer: Infer, photos: list[Path]) -> None:
    """What was done before stays in the results, and overlays of one name do not replace each other."""
    assert infer(photos[0]).code == 0
    other = photos[0].parent / "more" / "0.png"
    other.parent.mkdir()
    photos[1].rename(other)
    ended = infer(other, "--resume")
    assert ended.code == 0
    assert [(image["id"], Path(image["file_name"])) for image in load(ended.folder)[0]["images"]] == [
        *((1, other), (2, photos[0])),
    ]
    assert sorted(path.name for path in (ended.folder / "overlays").iterdir()) == ["0.jpg", "0_2.jpg"]


def test_overlays_that_no_run_names_any_more_are_removed(infer: Infer, photos: list[Path]) -> None:
    """Nothing else is: neither what the user put there, nor what a damaged journal names elsewhere."""
    ended = infer(*photos[:3])
    assert (ended.folder / "overlays" / "2.jpg").exists()
    mine, outside = ended.folder / "overlays" / "mine.jpg", photos[0].parents[1] / "outside.jpg"
    for path in (mine, outside):
        path.touch()
    journal = ended.folder / "instances.jsonl"
    journal.write_text(journal.read_text().replace('"overlays/1.jpg"', '"overlays/../../outside.jpg"'))
    assert infer(photos[0]).code == 0
    assert sorted(path.name for path in (ended.folder / "overlays").iterdir()) == ["0.jpg", "1.jpg", "mine.jpg"]
    assert outside.exists()


def test_only_inputs_that_do_not_exist(infer: Infer, photos: list[Path]) -> None:
    assert infer(photos[0]).code == 0
    before = {path: path.read_bytes() for path in (photos[0].parents[1] / "out").glob("*.json*")}
    ended = infer("nowhere.jpg", "nowhere.mp4", "*.nothing")
    assert ended.code == 2
    assert "nowhere.jpg: there is no such file." in ended.err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("kind", ["fifo", "device", "socket"])
def test_inputs_that_never_end(
    infer: Infer, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    odd = tmp_path / "odd.jpg"
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "device":
        odd.symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(tmp_path)
        socket.socket(socket.AF_UNIX).bind("odd.jpg")
    ended = infer(odd, photos[0])
    assert ended.code == 1
    assert "odd.jpg is not a file, but a pipe, a socket or a device." in ended.err


@pytest.mark.parametrize("length", [250, 255])
@pytest.mark.parametrize("letter", ["x", "ü"])
def test_long_names(infer: Infer, photos: list[Path], make_clip: MakeClip, length: int, letter: str) -> None:
    name = letter * ((length - 4) // len(letter.encode()))
    long = photos[0].rename(photos[0].with_name(f"{name}.png"))
    (photos[1].parent / "more").mkdir()
    same = photos[1].rename(photos[1].parent / "more" / long.name)
    clip = make_clip(times=range(2))
    clip = clip.rename(clip.with_name(f"{name}.mp4"))
    ended = infer(long, same, clip)
    assert ended.code == 0, ended.err
    overlays = sorted(path.stem for path in (ended.folder / "overlays").iterdir())
    assert len(overlays) == 2
    assert name in overlays
    assert all(stem.startswith(name[:100]) for stem in overlays)
    assert len(list(ended.folder.glob("*.mp4"))) == 1


@pytest.mark.parametrize("place", ["overlay", "journal", "data set", "results"])
def test_a_full_disk(
    infer: Infer, photos: list[Path], monkeypatch: pytest.MonkeyPatch, place: str, tmp_path: Path
) -> None:
    """The run stops at once, and goes on when there is room again."""
    full = OSError(errno.ENOSPC, "No space left on device")
    calls = 0

    def refuse(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > (2 if place in ("overlay", "journal") else 0):
            raise full

    with monkeypatch.context() as patch:
        if place == "overlay":
            patch.setattr(overlay, "write_in_one_step", refuse)
        elif place == "journal":
            patch.setattr("maskrt.runtime.inference.journal.Journal.append", refuse)
        else:
            name = "_write_data_set" if place == "data set" else "_write_results_list"
            patch.setattr(f"maskrt.runtime.inference.writers.coco.CocoJson.{name}", refuse)
        ended = infer(*photos)
    assert ended.code in (1, 2)
    assert "cannot be written: No space left on device." in ended.err
    assert "--resume" in ended.err
    if place in ("overlay", "journal"):
        assert calls == 3
        assert "Stopped: 4 images not reached." in ended.out
    monkeypatch.undo()
    if place != "journal":
        ended = infer(*photos, "--resume")
        assert ended.code == 0
        assert len(load(ended.folder)[0]["images"]) == 6


def test_names_on_the_terminal(infer: Infer, photos: list[Path]) -> None:
    odd = photos[0].rename(photos[0].with_name("a\x1b]0;x\x07\n\u202eb.png"))
    missing = photos[0].with_name("c\x1b[2J.png")
    ended = infer(odd, missing)
    assert ended.code == 1
    for text in (ended.out, ended.err):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert r"a\x1b]0;x\x07\n\u202eb.png" in ended.err
    assert load(ended.folder)[0]["images"][0]["file_name"] == str(odd)


@pytest.mark.parametrize("name", [b"gr\xfc\xdfe", b"\xff", b"a\xed\xa0\x80b", "größe".encode(), b"\\xfc", b"\xc3\x28"])
def test_names_in_the_json(name: bytes) -> None:
    """Every name can be had again from text that every parser takes: it is UTF-8 throughout."""
    text = json.dumps(file_name(Path(os.fsdecode(name))), ensure_ascii=False).encode("utf-8", "strict")
    told = json.loads(text)
    again = base64.b64decode(told["file_name_base64"]) if "file_name_base64" in told else told["file_name"].encode()
    assert again == name
