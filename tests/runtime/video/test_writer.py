from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from maskrt.errors import VideoError
from maskrt.runtime.video import writer as video_writer
from maskrt.runtime.video.reader import VideoReader
from maskrt.runtime.video.writer import VideoWriter

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (200, 100, 50), (30, 60, 200)]


def write(path: Path, times: list[int], time_base: Fraction, size: tuple[int, int] = (64, 96)) -> None:
    writer = VideoWriter(path, size, Fraction(25), time_base, threads=1)
    for i, time in enumerate(times):
        writer.write(np.full((*size, 3), COLORS[i % len(COLORS)], np.uint8), time)
    assert writer.close()


def test_h264_in_mp4_with_the_times_and_colours_given(tmp_path: Path) -> None:
    """The colours both as PyAV reads them and as OpenCV does; 2 grey levels are the rounding of YUV."""
    path = tmp_path / "clip.mp4"
    times = [9000, 12600, 16200, 90000, 93000, 200000]
    write(path, times, Fraction(1, 90000))
    with av.open(path) as container:
        assert container.format.name.startswith("mov,mp4")
        assert container.streams.video[0].codec_context.name == "h264"
    with VideoReader(str(path)) as reader:
        pictures = list(reader.pictures())
        images = [reader.to_rgb(picture) for picture in pictures]
    assert [picture.seconds for picture in pictures] == pytest.approx([(time - 9000) / 90000 for time in times])
    assert pictures[0].pts == 0
    capture = cv2.VideoCapture(str(path))
    for image, color in zip(images, COLORS, strict=True):
        assert np.abs(image[20, 20].astype(int) - color).max() <= 6
        _, other = capture.read()
        assert np.abs(image.astype(int) - other[..., ::-1]).max() <= 6
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(("size", "expected"), [((33, 47), (34, 48)), ((64, 47), (64, 48)), ((1, 1), (2, 2))])
def test_sides_of_odd_length(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    write(tmp_path / "clip.mp4", [0, 1, 2], Fraction(1, 25), size)
    with av.open(tmp_path / "clip.mp4") as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 3
    assert (frames[0].height, frames[0].width) == expected


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")
    writer = VideoWriter(path, (32, 32), Fraction(25), Fraction(1, 25))
    writer.write(np.zeros((32, 32, 3), np.uint8), 0)
    assert path.read_bytes() == b"old"
    writer.close()
    assert path.read_bytes() != b"old"


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    assert not VideoWriter(tmp_path / "clip.mp4", (32, 32), Fraction(25), Fraction(1, 25)).close()
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a second Ctrl-C: no half of a file stays behind."""
    writer = VideoWriter(tmp_path / "clip.mp4", (32, 32), Fraction(25), Fraction(1, 25))
    for time in range(100):
        writer.write(np.zeros((32, 32, 3), np.uint8), time)
    assert len(list(tmp_path.iterdir())) == 1  # the encoder has let go of the first frames

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_mux", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"clip.mp4 cannot be written: No such file or directory."):
        write(tmp_path / "nowhere" / "clip.mp4", [0, 1], Fraction(1, 25))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full refuses every byte; the file system would do so after some."""

    class Full(type(tmp_path)):  # type: ignore[misc]
        def with_name(self, name: str) -> Path:
            return Path("/dev/full")

    monkeypatch.setattr(video_writer, "check_replaceable", lambda path: None)
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **options: path == Path("/dev/full") or unlink(path, **options))
    writer = VideoWriter(Full(tmp_path / "clip.mp4"), (480, 640), Fraction(25), Fraction(1, 25))
    noise = np.random.default_rng(0)
    with pytest.raises(VideoError, match=r"clip.mp4 cannot be written: No space left on device."):
        for time in range(500):
            writer.write(noise.integers(0, 256, (480, 640, 3), dtype=np.uint8), time)
        writer.close()
    with pytest.raises(VideoError, match="No space left"):
        writer.write(np.zeros((480, 640, 3), np.uint8), 1000)
    assert not writer.close()  # there is nothing to finish, and no second error
    assert list(tmp_path.iterdir()) == []


def test_without_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An FFmpeg without H.264: its container refuses the name of the codec."""
    opened = av.open

    def open_without_h264(*arguments: object, **options: object) -> object:
        container = opened(*arguments, **options)

        class Container:
            def add_stream(self, name: str, **options: object) -> object:
                return container.add_stream({"h264": "no_such_codec"}[name], **options)

            def close(self) -> None:
                container.close()

        return Container()

    monkeypatch.setattr(video_writer, "import_av", lambda: type("av", (), {**vars(av), "open": open_without_h264}))
    with pytest.raises(VideoError, match=r"this FFmpeg has no H.264 encoder. Use `--no-overlays`"):
        VideoWriter(tmp_path / "clip.mp4", (32, 32), Fraction(25), Fraction(1, 25))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("noise", [0, 2, 40])
@pytest.mark.parametrize("times", [range(77), [0, 18, 25, 29], [0, 2, 9, 13, 15, 26, 28, 41], [0, 60, 61, 200]])
def test_each_frame_can_be_read_again(tmp_path: Path, times: Sequence[int], noise: int) -> None:
    """Of still pictures, too, where an encoder stores frames out of their order."""
    rng = np.random.default_rng(noise)
    still = rng.integers(40, 200, (64, 96, 3))
    writer = VideoWriter(tmp_path / "still.mp4", (64, 96), Fraction(25), Fraction(1, 12800), threads=1)
    for time in times:
        writer.write((still + rng.integers(-noise, noise + 1, still.shape)).astype(np.uint8), 512 * time)
    assert writer.close()
    with VideoReader(str(tmp_path / "still.mp4"), threads=1) as reader:
        found = [picture.seconds for picture in reader.pictures()]
    np.testing.assert_allclose(found, np.array(times) / 25, atol=1e-6)
