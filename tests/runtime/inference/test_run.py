"""The loop, with writers of its own; what `maskrt infer` does with it is tested in test_infer.py."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.errors import MaskrtError
from maskrt.runtime.inference import run as run_module
from maskrt.runtime.inference.journal import Journal
from maskrt.runtime.inference.run import Run
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import ImageFiles, PictureJob, Source, Video
from maskrt.runtime.inference.writers.registry import WRITERS
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.video.reader import VideoReader


class Recorder:
    """A writer that keeps what it is given, and fails where it is told to."""

    stage = "record"

    def __init__(self, fails_at: str = "", number: int = -1) -> None:
        self.fails_at, self.number = fails_at, number
        self.written: list[tuple[int, Any]] = []
        self.closed = 0

    def prepare(self, job: PictureJob) -> int:
        self.fail("prepare", job.number)
        assert job.image is not None
        assert job.instances is not None
        return len(job.instances)

    def write(self, job: PictureJob, prepared: Any) -> None:
        self.fail("write", job.number)
        self.written.append((job.number, prepared))

    def close(self) -> list[str]:
        self.closed += 1
        self.fail("close", -1)
        return [f"Recorded: {len(self.written)}"]

    def fail(self, step: str, number: int) -> None:
        if step == self.fails_at and number == self.number:
            raise MaskrtError(f"no {step}.")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for file in files:
        cv2.imwrite(str(file), np.zeros((40, 50, 3), np.uint8))
    files[2].write_bytes(b"")
    return files


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path, {})
    yield journal
    journal.close()


@pytest.fixture
def execute(write_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`execute(source, recorder, ...)` runs with these writers alone."""

    def run(source: Source, *writers: Recorder) -> int:
        openers = {str(i): lambda *_, writer=writer: writer for i, writer in enumerate(writers)}
        monkeypatch.setattr(run_module, "WRITERS", {**openers, "none": lambda *_: None})
        return Run(Segmenter(write_model(), threads=1), source, Settings(tmp_path)).execute()

    return run


def test_all_writers_get_what_can_be_read(
    images: list[Path], journal: Journal, execute: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = Recorder(), Recorder()
    assert execute(ImageFiles(images, journal), first, second) == 1
    assert first.written == second.written == [(0, 2), (1, 2), (3, 2)]
    out, err = capsys.readouterr()
    assert out.splitlines() == ["3 images, 6 instances, 1 failed.", "Recorded: 3", "Recorded: 3"]
    assert "2.png is empty" in err


@pytest.mark.parametrize("step", ["prepare", "write"])
def test_an_image_that_a_writer_cannot_take_goes_to_none_behind_it(
    images: list[Path], journal: Journal, execute: Callable[..., int], capsys: pytest.CaptureFixture[str], step: str
) -> None:
    first, second = Recorder(step, number=1), Recorder()
    assert execute(ImageFiles(images, journal), first, second) == 1
    assert second.written == [(0, 2), (3, 2)]
    out, err = capsys.readouterr()
    assert f"1.png: no {step}." in err
    assert "2 images, 4 instances, 2 failed." in out


def test_results_that_cannot_be_written(
    images: list[Path], journal: Journal, execute: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of images nothing is left then: 2. The other writers are closed all the same."""
    first, second = Recorder("close"), Recorder()
    assert execute(ImageFiles(images[:2], journal), first, second) == 2
    assert (first.closed, second.closed) == (1, 1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "maskrt infer: no close." in err


def test_frames_that_failed_are_written_too(make_clip: Callable[..., Path], execute: Callable[..., int]) -> None:
    first, second = Recorder("prepare", number=2), Recorder()
    with VideoReader(str(make_clip(times=range(4)))) as reader:
        assert execute(Video(reader, "clip"), first, second) == 1
    assert first.written == [(0, 2), (1, 2), (2, None), (3, 2)]
    assert second.written == [(0, 2), (1, 2), (2, None), (3, 2)]


def test_a_frame_that_cannot_be_written_ends_a_video(
    make_clip: Callable[..., Path], execute: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Recorder("write", number=2)
    with VideoReader(str(make_clip(times=range(9)))) as reader:
        assert execute(Video(reader, "clip"), writer) == 1
    assert writer.written == [(0, 2), (1, 2)]
    assert writer.closed == 1
    out, err = capsys.readouterr()
    assert "maskrt infer: no write." in err
    assert "clip.mp4: 2 frames, 4 instances; " in out


def test_each_writer_has_its_sources(
    make_clip: Callable[..., Path], images: list[Path], journal: Journal, tmp_path: Path
) -> None:
    with VideoReader(str(make_clip(times=range(2)))) as reader:
        video = Video(reader, "found")
        for source, overlays, expected in (
            (ImageFiles(images, journal), True, {"overlay", "coco"}),
            (ImageFiles(images, journal), False, {"coco"}),
            (video, True, {"video", "jsonl"}),
            (video, False, {"jsonl"}),
        ):
            settings = Settings(tmp_path, overlays=overlays)
            opened = {name: opener(source, settings, ("background", "disk")) for name, opener in WRITERS.items()}
            assert {name for name, writer in opened.items() if writer is not None} == expected
            if opened["jsonl"] is not None:
                assert opened["jsonl"].close() == [f"Instances: {tmp_path / 'found.jsonl'} (a line per frame)"]
