"""Videos in: times, rotation and colours as FFmpeg and OpenCV know them, and a sentence for whatever can be wrong."""

import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from maskrt.errors import VideoError
from maskrt.runtime.video import reader as video
from maskrt.runtime.video.reader import Picture, VideoReader, display_name, file_stem, is_stream, is_video, newest

MakeClip = Callable[..., Path]


def read(source: Path | str) -> tuple[list[Picture], list[np.ndarray], VideoReader]:
    with VideoReader(str(source), threads=1) as reader:
        pictures = list(reader.pictures())
        return pictures, [reader.to_rgb(picture) for picture in pictures], reader


def failing(source: Path | str) -> tuple[int, str, int]:
    """The number of pictures, the message at their end, and the number of those skipped."""
    number = 0
    with VideoReader(str(source), threads=1) as reader:
        try:
            for _ in reader.pictures():
                number += 1
        except VideoError as error:
            return number, str(error), reader.skipped
        return number, "", reader.skipped


def test_every_frame_as_opencv_reads_it(make_clip: MakeClip) -> None:
    path = make_clip()
    pictures, images, reader = read(path)
    assert [picture.number for picture in pictures] == list(range(12))
    assert (reader.number, reader.rate, reader.skipped, reader.is_live) == (12, 25, 0, False)
    capture = cv2.VideoCapture(str(path))
    for image in images:
        ok, expected = capture.read()
        assert ok
        assert image.dtype == np.uint8
        assert image.shape == (64, 96, 3)
        # Two conversions from YUV: they differ where colour changes from pixel to pixel, as it does in noise.
        assert np.abs(image.astype(int) - expected[..., ::-1]).mean() < 3


def test_variable_frame_rate(make_clip: MakeClip) -> None:
    times = [0, 40, 80, 300, 310, 700, 1500]
    pictures, _, reader = read(make_clip(times=times, time_base=Fraction(1, 600)))
    assert [picture.seconds for picture in pictures] == pytest.approx([time / 600 for time in times])
    assert [float(picture.pts * reader.time_base) for picture in pictures] == pytest.approx([t / 600 for t in times])


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_as_opencv_applies_it(make_clip: MakeClip, rotation: int) -> None:
    path = make_clip(rotation=rotation)
    _, images, _ = read(path)
    ok, expected = cv2.VideoCapture(str(path)).read()
    assert ok
    assert images[0].shape == expected.shape
    assert np.abs(images[0].astype(int) - expected[..., ::-1]).mean() < 3


def test_file_without_times(make_clip: MakeClip) -> None:
    pictures, _, _ = read(make_clip("clip.h264", times=range(10)))
    assert [picture.seconds for picture in pictures] == pytest.approx([i / 25 for i in range(10)])


def test_pictures_of_another_size_on_the_way(make_clip: MakeClip, tmp_path: Path) -> None:
    """As in a stream whose sender changes its resolution: two MPEG-TS recordings, one behind the other."""
    joined = tmp_path / "joined.ts"
    recordings = make_clip("a.ts", times=range(50)), make_clip("b.ts", times=range(50), size=(128, 128))
    joined.write_bytes(b"".join(path.read_bytes() for path in recordings))
    pictures, images, _ = read(joined)
    assert {image.shape for image in images} == {(64, 96, 3)}
    assert len(pictures) > 90
    seconds = np.array([picture.seconds for picture in pictures])
    assert (np.diff(seconds) > 0).all()  # though the second clock starts anew


def damage(path: Path, start: float, length: int) -> Path:
    """Zeros in the middle of the pictures of a file with its index at the front."""
    content = bytearray(path.read_bytes())
    at = int(len(content) * start)
    content[at : at + length] = bytes(length)
    path.write_bytes(content)
    return path


def test_a_damaged_frame_is_counted_and_the_rest_goes_on(make_clip: MakeClip) -> None:
    path = damage(make_clip(times=range(40), movflags="faststart"), 0.5, 8000)
    number, message, skipped = failing(path)
    assert message == ""
    assert skipped >= 1
    assert 30 <= number == 40 - skipped


def test_frames_out_of_order_are_left_out(make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that has met damage may give an older frame behind a newer one; no video file can hold that."""
    order = iter([0, 512, 2048, 1024, 2048, 2560])

    def decode(self: VideoReader, packet: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(pts=pts, is_corrupt=False) for pts in [next(order, None)] if pts is not None]

    monkeypatch.setattr(VideoReader, "_decode", decode)
    with VideoReader(str(make_clip())) as reader:
        assert [picture.pts for picture in reader.pictures()] == [0, 512, 2048, 2560]
        assert reader.skipped == 2


def test_a_truncated_file_gives_what_it_holds(make_clip: MakeClip) -> None:
    path = make_clip(times=range(40), movflags="faststart")
    os.truncate(path, path.stat().st_size // 2)
    number, message, _ = failing(path)
    assert 10 < number < 30
    assert message == f"{path} is cut off: the file ends after {number} frames, before its last one."


def test_a_truncated_file_without_its_index(make_clip: MakeClip) -> None:
    path = make_clip()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(VideoError, match=r"is no video that FFmpeg can read, or damaged, or cut off."):
        read(path)


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"song.mp4 holds no video, only audio."):
        read(path)


def test_a_codec_that_ffmpeg_does_not_have(make_clip: MakeClip) -> None:
    path = make_clip()
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match=r"this FFmpeg has no decoder for its video. Convert it to H.264: `ffmpeg"):
        read(path)


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    for name, content in (("empty.mp4", b""), ("noise.mp4", os.urandom(5000)), ("text.mkv", b"hello" * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VideoError, match=f"{name} "):
            read(tmp_path / name)
    with pytest.raises(VideoError, match=r"nowhere.mp4: there is no such file."):
        read(tmp_path / "nowhere.mp4")


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, runs of zeros, the end cut off; often near the front, where the headers are."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 30)):
        at = int(rng.integers(len(content) if rng.random() < 0.6 else 2000))
        length = int(rng.choice([1, 8, 64]))
        noise = rng.integers(0, 256, length, dtype=np.uint8).tobytes() if rng.random() < 0.7 else bytes(length)
        damaged[at : at + length] = noise[: len(damaged) - at]
    return bytes(damaged[: int(rng.integers(len(content)))] if rng.random() < 0.2 else damaged)


def test_mutated_files_give_frames_or_a_sentence(make_clip: MakeClip, tmp_path: Path) -> None:
    number = 3000 if os.environ.get("MASKRT_LONG_TESTS") else 150
    whole = [
        make_clip("a.mp4", movflags="faststart").read_bytes(),
        make_clip("b.mp4", rotation=90).read_bytes(),
        make_clip("c.mkv").read_bytes(),
        make_clip("d.ts").read_bytes(),
    ]
    outcomes = {"frames": 0, "sentences": 0}
    path = tmp_path / "mutated"
    for seed in range(number):
        path.write_bytes(mutate(whole[seed % 4], np.random.default_rng(seed)))
        start = time.process_time()  # a busy machine does not lengthen it
        try:
            with VideoReader(str(path), threads=1) as reader:
                for picture in reader.pictures():
                    assert reader.to_rgb(picture).dtype == np.uint8
            outcomes["frames"] += 1
        except VideoError as error:
            assert str(path) in str(error)
            assert str(error).endswith(".")
            outcomes["sentences"] += 1
        assert time.process_time() - start < 10, f"seed {seed}"
    assert min(outcomes.values()) > number / 10


def test_a_camera_that_does_not_exist() -> None:
    for source in ("camera:97", "/dev/video97"):
        with pytest.raises(VideoError, match=f"{source}: there is no camera /dev/video97; `ls"):
            read(source)


def test_cameras_of_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(VideoError, match=r"camera:0: cameras are read through Video4Linux, which only Linux has."):
        read("camera:0")


def test_a_server_that_does_not_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(VideoError, match=f"rtsp://127.0.0.1:{port}/live cannot be opened: Connection refused."):
        read(f"rtsp://user:secret@127.0.0.1:{port}/live")


@pytest.fixture
def serve() -> Iterator[Callable[[bytes, bool], str]]:
    """`serve(content, hang_up)` -> the URL of a server that sends this, and then hangs up or falls silent."""
    listeners, over = [], threading.Event()

    def start(content: bytes, hang_up: bool) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def send() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(content)
                if not hang_up:
                    over.wait(60)

        threading.Thread(target=send, daemon=True).start()
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("hang_up", [True, False], ids=["hangs up", "falls silent"])
def test_a_stream_that_stops(
    make_clip: MakeClip, serve: Callable[[bytes, bool], str], hang_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_PATIENCE", (30, 2))
    number, message, _ = failing(serve(make_clip("clip.ts", times=range(100)).read_bytes(), hang_up))
    assert number > 50
    assert f"stopped after {number} frames" in message


def picture(number: int) -> Picture:
    return Picture(number, number, number / 25, None)


def test_newest_passes_over_what_comes_too_fast() -> None:
    taken, given = threading.Event(), threading.Event()

    def camera() -> Iterator[Picture]:
        yield picture(0)
        assert taken.wait(60)
        yield from map(picture, range(1, 100))
        given.set()

    seen = []
    for one in newest(camera()):
        seen.append(one.number)
        taken.set()
        assert given.wait(60)  # the camera does not wait for us
    assert seen == [0, 99]


@pytest.mark.parametrize("error", [VideoError("camera:0 stopped after 1 frames."), SystemExit("stopped after 1")])
def test_newest_tells_how_the_camera_ended(error: BaseException) -> None:
    def camera() -> Iterator[Picture]:
        yield picture(0)
        raise error

    seen: list[int] = []
    with pytest.raises(type(error), match="stopped after 1"):
        seen.extend(one.number for one in newest(camera()))
    assert seen == [0]


def test_newest_keeps_nothing_of_what_it_has_passed_over() -> None:
    """A camera that gives 200 pictures while one is worked on, for hours."""
    taken, ahead = SimpleQueue[None](), SimpleQueue[None]()

    def camera() -> Iterator[Picture]:
        yield picture(0)
        for start in range(1, 100_001, 200):
            taken.get(timeout=60)
            yield from map(picture, range(start, start + 200))
            ahead.put(None)

    tracemalloc.start()
    try:
        for one in newest(camera()):
            if one.number < 100_000:
                taken.put(None)
                ahead.get(timeout=60)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400_000  # a pointer for each picture would be twice as much


def test_newest_ends_its_thread() -> None:
    def camera() -> Iterator[Picture]:
        number = 0
        while True:
            yield picture(number)
            number += 1

    pictures = newest(camera())
    next(pictures)
    pictures.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "read"]


@pytest.mark.parametrize(
    ("source", "stream", "name", "stem"),
    [
        ("clip.mp4", False, "clip.mp4", "clip"),
        ("a/b.c.mkv", False, "a/b.c.mkv", "b.c"),
        ("camera:0", True, "camera:0", "camera0"),
        ("/dev/video12", True, "/dev/video12", "camera12"),
        ("camera:x", False, "camera:x", "camera:x"),
        ("rtsp://user:p@ss@cam.local:554/live/1?x=y", True, "rtsp://cam.local:554/live/1?x=y", "cam.local_live_1"),
        ("udp://@239.0.0.1:1234", True, "udp://239.0.0.1:1234", "239.0.0.1"),
        ("https://host/clip.mp4", True, "https://host/clip.mp4", "host_clip.mp4"),
    ],
)
def test_names(source: str, stream: bool, name: str, stem: str) -> None:
    assert (is_stream(source), display_name(source), file_stem(source)) == (stream, name, stem)


def test_videos_are_told_by_content_or_name(make_clip: MakeClip, tmp_path: Path) -> None:
    for suffix in ("mp4", "mov", "mkv", "avi", "flv", "mpg"):
        path = make_clip(f"clip.{suffix}").rename(tmp_path / suffix)
        assert is_video(path), suffix
    image = np.zeros((8, 8, 3), np.uint8)
    for suffix in ("jpg", "png", "webp", "tif", "bmp", "gif", "avif"):
        ok, content = cv2.imencode(f".{suffix}", image)
        if ok:
            (tmp_path / "image").write_bytes(content.tobytes())
            assert not is_video(tmp_path / "image"), suffix
    for name, expected in (("empty.mp4", True), ("empty.TS", True), ("empty.jpg", False), ("empty", False)):
        (tmp_path / name).touch()
        assert is_video(tmp_path / name) is expected
    assert is_video(tmp_path / "nowhere.mp4")
    assert not is_video(tmp_path)
