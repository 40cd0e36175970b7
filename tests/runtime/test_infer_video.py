"""The command-line tool on videos, streams and cameras, from arguments to files and exit code."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.errors import ModelError
from maskrt.runtime.inference.writers import video as video_writer
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.video.reader import Picture, VideoReader

WriteModel = Callable[..., Path]
MakeClip = Callable[..., Path]
Infer = Callable[..., Any]


def times_and_images(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with VideoReader(str(path), threads=1) as reader:
        pictures = list(reader.pictures())
        return [picture.seconds for picture in pictures], [reader.to_rgb(picture) for picture in pictures]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_annotated_video_and_a_line_per_frame(infer: Infer, make_clip: MakeClip, tmp_path: Path) -> None:
    times = [0, 24, 48, 72, 150, 174, 300, 324, 700]
    clip = make_clip("größe.mp4", times=times, time_base=Fraction(1, 600), size=(96, 160))
    code, out, _, output = infer(clip, "--timings")
    assert code == 0
    assert sorted(path.name for path in output.iterdir()) == ["größe.jsonl", "größe.mp4"]

    seconds, images = times_and_images(output / "größe.mp4")
    assert seconds == pytest.approx([time / 600 for time in times])
    _, originals = times_and_images(clip)
    for image, original in zip(images, originals, strict=True):
        assert image.shape == original.shape
        assert np.abs(image.astype(int) - original).mean() > 5  # instances are drawn
        assert (image[:4, :20].max(axis=2) < 80).mean() > 0.9  # and the plate with the frame rate

    records = lines_of(output / "größe.jsonl")
    assert [record["frame"] for record in records] == list(range(9))
    assert [record["time"] for record in records] == pytest.approx([time / 600 for time in times], abs=1e-6)
    segmenter = Segmenter(tmp_path / "model.onnx", threads=1)
    for record, original in zip(records, originals, strict=True):
        expected = segmenter.predict(original).to_coco(record["frame"])
        assert [instance.pop("category") for instance in record["instances"]] == ["disk", "star"]
        assert record["instances"] == expected
        mask = coco_mask.decode(record["instances"][0]["segmentation"])
        assert mask.shape == (record["height"], record["width"]) == (96, 160)

    assert "größe.mp4: 9 frames, 18 instances; " in out
    assert " frames/s." in out
    for stage in ("decode", "preprocess", "infer", "postprocess", "draw", "rle", "write"):
        assert stage in out


def test_rotated_video(infer: Infer, make_clip: MakeClip) -> None:
    ended = infer(make_clip(rotation=90, times=range(3)))
    assert ended.code == 0
    assert lines_of(ended.folder / "clip.jsonl")[0]["width"] == 64
    assert cv2.VideoCapture(str(ended.folder / "clip.mp4")).read()[1].shape == (96, 64, 3)


def test_images_and_videos_together(infer: Infer, make_clip: MakeClip, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 60, 3), np.uint8))
    (tmp_path / "b").mkdir()
    other = make_clip("b/clip.mov", times=range(3))
    disguised = make_clip("film.mp4", times=range(2)).rename(tmp_path / "film.jpg")
    code, out, _, output = infer(
        make_clip(times=range(3)), other, tmp_path / "a.png", disguised, "--no-overlays", "--batch-size", "2"
    )
    assert code == 0
    names = sorted(path.name for path in output.iterdir())
    assert names == [
        *("clip.jsonl", "clip_2.jsonl", "film.jsonl", "instances.json", "instances.jsonl", "results.json"),
    ]
    assert [len(lines_of(output / name)) for name in names[:3]] == [3, 3, 2]
    assert "1 image, 2 instances, 0 failed." in out


def test_results_have_the_whole_name(
    infer: Infer, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dots in it begin no suffix, and FFmpeg takes what stands before a colon for a protocol."""
    monkeypatch.chdir(tmp_path)
    make_clip("a.mp4", times=range(2)).rename("day.1.mp4")
    make_clip("a.mp4", times=range(2)).rename("12:30.mp4")
    ended = infer("day.1.mp4", "12:30.mp4", output="../out")
    assert ended.code == 0
    assert sorted(path.name for path in (tmp_path / "../out").iterdir()) == [
        *("12:30.jsonl", "12:30.mp4", "day.1.jsonl", "day.1.mp4"),
    ]


def test_a_video_where_the_results_go_is_not_replaced(infer: Infer, make_clip: MakeClip, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    clip = make_clip("out/clip.mp4", times=range(2))
    content = clip.read_bytes()
    code, _, err, _ = infer(clip)
    assert code == 2
    assert f"{clip} lies where the results go, and would be replaced. Choose another --output." in err
    assert clip.read_bytes() == content


@pytest.mark.parametrize("batch_size", ["1", "3"])
def test_a_frame_that_fails_is_shown_as_it_is(
    infer: Infer, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, batch_size: str
) -> None:
    segment, calls = Segmenter.infer, 0

    def fail_on_the_fifth(self: Segmenter, batch: Any, **options: Any) -> object:
        nonlocal calls
        calls += len(batch.canvas) == 1
        if len(batch.canvas) > 1 or calls == 5:
            raise ModelError("out of device memory.")
        return segment(self, batch, **options)

    monkeypatch.setattr(Segmenter, "infer", fail_on_the_fifth)
    code, out, err, output = infer(make_clip(times=range(9)), "--batch-size", batch_size)
    assert code == 1
    records = lines_of(output / "clip.jsonl")
    assert [record.get("error") for record in records] == [None] * 4 + ["out of device memory."] + [None] * 4
    assert len(times_and_images(output / "clip.mp4")[0]) == 9
    assert "clip.mp4, frame 4: out of device memory." in err
    assert "9 frames, 16 instances, 1 failed; " in out


def test_a_damaged_frame(infer: Infer, make_clip: MakeClip) -> None:
    clip = make_clip(times=range(40), movflags="faststart")
    content = bytearray(clip.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8000] = bytes(8000)
    clip.write_bytes(content)
    code, out, _, output = infer(clip)
    assert code == 1
    seconds, _ = times_and_images(output / "clip.mp4")
    records = lines_of(output / "clip.jsonl")
    assert 30 < len(records) < 40
    assert [record["time"] for record in records] == pytest.approx(seconds, abs=1e-6)
    assert seconds[-1] == pytest.approx(39 / 25)
    assert f"{len(records)} frames, {2 * len(records)} instances, {40 - len(records)} damaged" in out


def test_a_truncated_file(infer: Infer, make_clip: MakeClip) -> None:
    clip = make_clip(times=range(40), movflags="faststart")
    os.truncate(clip, clip.stat().st_size // 2)
    code, _, err, output = infer(clip)
    assert code == 1
    records = lines_of(output / "clip.jsonl")
    assert 10 < len(records) < 30
    assert len(times_and_images(output / "clip.mp4")[0]) == len(records)
    assert f"clip.mp4 is cut off: the file ends after {len(records)} frames" in err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("camera:97", "there is no camera /dev/video97"),
        ("nowhere.mp4", "there is no such file"),
        ("rtsp://127.0.0.1:1/x", "refused"),
    ],
)
def test_what_cannot_be_opened_does_not_stop_the_rest(
    infer: Infer, make_clip: MakeClip, source: str, message: str
) -> None:
    code, _, err, output = infer(source, make_clip(times=range(2)))
    assert code == 1
    assert len(lines_of(output / "clip.jsonl")) == 2
    assert message in err
    assert "Traceback" not in err


def test_a_camera_that_stops(infer: Infer, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    """All frames but the first few come before the model has done with the first: the camera does not wait."""
    over = threading.Event()
    segment = Segmenter.infer

    class Camera(VideoReader):
        def __init__(self, source: str, threads: int | None) -> None:
            super().__init__(source, threads)
            self.is_live = True

        def pictures(self) -> Iterator[Picture]:  # type: ignore[override]
            try:
                yield from super().pictures()
            finally:
                over.set()

    def slow(self: Segmenter, batch: Any, **options: Any) -> object:
        assert over.wait(60)
        return segment(self, batch, **options)

    monkeypatch.setattr(Segmenter, "infer", slow)
    monkeypatch.setattr("maskrt.runtime.infer.VideoReader", Camera)
    code, out, err, output = infer(make_clip(times=range(30)))
    assert code == 1
    assert "clip.mp4 stopped after 30 frames." in err
    records = lines_of(output / "clip.jsonl")
    assert records[-1]["frame"] == 29  # the newest is never passed over
    seconds, _ = times_and_images(output / "clip.mp4")  # which begins with the first frame that was seen
    assert [record["time"] - records[0]["time"] for record in records] == pytest.approx(seconds, abs=1e-6)
    assert len(records) < 20
    assert f"{30 - len(records)} passed over to keep up" in out


def test_a_video_that_cannot_be_written(
    infer: Infer, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full refuses every byte, as a full disk does; that it is a device is not looked at here."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip.mp4").write_bytes(b"of an earlier run")
    (tmp_path / "out" / "clip.partial.mp4").symlink_to("/dev/full")
    monkeypatch.setattr("maskrt.runtime.video.writer.check_replaceable", lambda path: None)
    monkeypatch.setattr("maskrt.files.check_replaceable", lambda path: None)
    code, out, err, output = infer(make_clip(times=range(30)))
    assert code == 1
    assert "clip.mp4 cannot be written: No space left on device." in err
    assert "Video:" not in out
    assert sorted(path.name for path in output.iterdir()) == ["clip.jsonl", "clip.mp4"]
    assert (output / "clip.mp4").read_bytes() == b"of an earlier run"


def test_lines_that_cannot_be_written(
    infer: Infer, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskrt.runtime.inference.writers.frames.check_replaceable", lambda path: None)
    monkeypatch.setattr("maskrt.files.check_replaceable", lambda path: None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip.jsonl").symlink_to("/dev/full")
    ended = infer(make_clip(times=range(3)))
    assert ended.code == 1
    assert "clip.jsonl cannot be written: No space left on device." in ended.err


def test_a_stage_that_dies_ends_the_video_with_a_sentence(
    infer: Infer, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, calls = video_writer.draw_caption, itertools.count()

    def die_on_the_fifth(image: np.ndarray, text: str) -> None:
        if next(calls) == 4:
            raise SystemExit(0)
        draw(image, text)

    monkeypatch.setattr(video_writer, "draw_caption", die_on_the_fifth)
    code, _, err, output = infer(make_clip(times=range(9)))
    assert code == 1
    assert "maskrt infer: The draw stage failed: SystemExit 0" in err
    records = lines_of(output / "clip.jsonl")
    assert [record["frame"] for record in records[:4]] == [0, 1, 2, 3]
    assert 4 not in [record["frame"] for record in records]
    assert len(times_and_images(output / "clip.mp4")[0]) == len(records)


def test_a_line_of_progress_for_a_hundred_frames(infer: Infer, make_clip: MakeClip) -> None:
    ended = infer(make_clip(times=range(201), size=(32, 32)), "--no-overlays")
    assert ended.code == 0
    assert [line.partition("]")[0] for line in ended.err.splitlines()] == ["[1/201", "[101/201", "[201/201"]


def test_without_pyav(infer: Infer, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(times=range(2))
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err, output = infer(clip)
    assert code == 2
    assert "pip install maskrt[video]" in err
    assert not output.exists()


def test_tiles(infer: Infer, make_clip: MakeClip) -> None:
    ended = infer(make_clip(times=range(2), size=(100, 150)), "--tile", "64x96", "--batch-size", "2")
    assert ended.code == 0
    records = lines_of(ended.folder / "clip.jsonl")
    assert len(records) == 2
    assert len(records[0]["instances"]) >= 2


def test_the_rate_on_the_picture_is_the_measured_one(
    infer: Infer, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    monkeypatch.setattr("maskrt.runtime.streaming.stopwatch.FrameRate.tick", lambda self: next(clock) + 0.5)
    captions = []
    monkeypatch.setattr(video_writer, "draw_caption", lambda image, text: captions.append(text))
    assert infer(make_clip(times=range(4))).code == 0
    assert captions == ["0.5 frames/s", "1.5 frames/s", "2.5 frames/s", "3.5 frames/s"]


def test_interrupt_keeps_what_is_finished(interrupted_infer: Infer, make_clip: MakeClip) -> None:
    """A SIGINT in the middle: the video and the lines end with the same frame."""
    code, out, _, output = interrupted_infer("video", make_clip(times=range(100)), make_clip("next.mp4"))
    assert code == 130
    records = lines_of(output / "clip.jsonl")
    assert 10 < len(records) < 100
    assert len(times_and_images(output / "clip.mp4")[0]) == len(records)
    assert f"clip.mp4: interrupted after {len(records)} frames" in out
    assert sorted(path.name for path in output.iterdir()) == ["clip.jsonl", "clip.mp4"]


def test_ctrl_c_in_a_real_process(write_model: WriteModel, make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip("clip.ts", times=range(200), size=(32, 32))
    clip.write_bytes(clip.read_bytes() * 20)  # one recording behind the other
    arguments = [str(write_model()), "--images", str(clip), "--output", str(tmp_path / "out"), "--threads", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "maskrt.runtime.infer", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted after" in out
    records = lines_of(tmp_path / "out" / "clip.jsonl")
    assert 1 <= len(records) < 4000
    assert len(times_and_images(tmp_path / "out" / "clip.mp4")[0]) == len(records)
