"""Video files, streams and cameras, frame by frame, through PyAV (FFmpeg), which is imported when one is opened."""

import re
import sys
from collections import deque
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from maskrt.errors import DependencyError, VideoError
from maskrt.files import check_regular
from maskrt.runtime.video.display import check_brightness, display_matrix, square_pixels, upright

VIDEO_SUFFIXES = frozenset(
    (
        *(".3gp", ".asf", ".avi", ".flv", ".h264", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".ogv", ".ts", ".webm", ".wmv"),
    )
)
# First bytes of MP4 and QuickTime (but not of the still images AVIF and HEIC), Matroska, AVI, Flash, MPEG, Ogg, ASF.
_SIGNATURE = re.compile(
    rb"....(ftyp(?!avi|hei|hev|mif|msf)|moov|mdat|wide|free)|\x1aE\xdf\xa3|RIFF....AVI |FLV|\0\0\x01\xba|OggS|0&\xb2u",
    re.DOTALL,
)
_CAMERA = re.compile(r"camera:(\d+)|/dev/video(\d+)")
# Seconds to wait for a camera or a stream, first for its beginning, then for the next frame.
_PATIENCE = (20, 10)
# Seconds that the time of a frame may lie behind the last one's: beyond that, a stream's clock has been set anew.
_CLOCK_JUMP = 1


class Picture(NamedTuple):
    """One frame of a video, not yet converted.

    Attributes:
        number: in the video, from 0; damaged frames are not counted.
        pts: its time in units of the reader's `time_base`.
        seconds: its time after the first frame.
        frame: PyAV's.
    """

    number: int
    pts: int
    seconds: float
    frame: Any


def is_stream(argument: str) -> bool:
    """Tell whether this is a camera (`camera:0`, `/dev/video0`) or a URL."""
    return bool(_CAMERA.fullmatch(argument)) or "://" in argument


def is_video(path: Path) -> bool:
    """Tell whether this is a video file, by its content, or else by its name."""
    try:
        start = b""
        if path.is_file():  # a pipe would wait for ever
            with path.open("rb") as file:
                start = file.read(16)
    except OSError:
        start = b""
    return bool(_SIGNATURE.match(start)) or path.suffix.lower() in VIDEO_SUFFIXES


def display_name(source: str) -> str:
    """Return what to call a source in messages: without the user name and password that a URL may hold."""
    if "://" not in source or "@" not in source:
        return source
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def file_stem(source: str) -> str:
    """Return what to call its results: `clip` for clip.mp4, `camera0` for camera:0, host and path for a URL."""
    if not is_stream(source):
        return Path(source).stem
    if match := _CAMERA.fullmatch(source):
        return f"camera{match[1] or match[2]}"
    parts = urlsplit(source)
    return re.sub(r"[^\w.-]+", "_", f"{parts.hostname or ''}{parts.path}").strip("_.") or "stream"


class VideoReader:
    """A video file, stream or camera, frame by frame.

    Args:
        source: a file, `camera:0` or `/dev/video0` (the first camera; Linux), or a URL that FFmpeg reads (rtsp, http,
            udp, ...).
        threads: of the decoder. None: one per core.

    Attributes:
        name: of the source, for messages.
        is_live: a camera or a stream that does not wait; it has no end, so that its end is an error.
        rate: frames per second, as the source says.
        time_base: seconds per unit of `Picture.pts`.
        number: of frames, as the source says; None if it does not.
        skipped: how many damaged frames have been left out so far.

    Raises:
        VideoError: there is no such source, it is damaged, or holds no video that can be decoded.
        DependencyError: PyAV is not installed.
    """

    def __init__(self, source: str, threads: int | None = None) -> None:
        self._av = import_av()
        self.name = display_name(source)
        self._path = None if is_stream(source) else Path(source)
        if self._path is not None:
            check_regular(self._path, "video", VideoError)
        camera = _CAMERA.fullmatch(source)
        scheme = source.partition("://")[0] if self._path is None else "file"
        self.is_live = bool(camera) or scheme not in ("file", "http", "https")
        try:
            self._container = self._open_camera(camera) if camera else self._open(source, scheme)
        except self._av.error.InvalidDataError:
            raise VideoError(f"{self.name} is no video that FFmpeg can read, or damaged, or cut off.") from None
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.name} cannot be opened: {explain(error)}") from None
        try:
            self._check_stream(threads)
        except BaseException:
            self._container.close()
            raise

    def _open(self, source: str, scheme: str) -> Any:
        # Over UDP, the default, a busy network costs frames.
        options = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
        # Without `file:`, 12:30.mp4 would be something of the protocol 12.
        url, timeout = (f"file:{source}", None) if self._path else (source, _PATIENCE)
        # A damaged title is no reason to refuse a video.
        return self._av.open(url, timeout=timeout, options=options, metadata_errors="replace")

    def _open_camera(self, camera: re.Match[str]) -> Any:
        if not sys.platform.startswith("linux"):
            raise VideoError(f"{self.name}: cameras are read through Video4Linux, which only Linux has.")
        device = f"/dev/video{camera[1] or camera[2]}"
        if not Path(device).exists():
            raise VideoError(f"{self.name}: there is no camera {device}; `ls /dev/video*` lists those that there are.")
        return self._av.open(device, format="v4l2", timeout=_PATIENCE)

    def _check_stream(self, threads: int | None) -> None:
        if not self._container.streams.video:
            kinds = sorted({stream.type for stream in self._container.streams if stream.type})
            raise VideoError(f"{self.name} holds no video{', only ' if kinds else ''}{' and '.join(kinds)}.")
        stream = self._stream = self._container.streams.video[0]
        context = stream.codec_context
        if context is None:
            raise VideoError(
                f"{self.name} cannot be decoded: this FFmpeg has no decoder for its video. Convert it to H.264: "
                "`ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4`."
            )
        # Of one frame: FFmpeg's other kind of threads, one for each frame, is up to twice as fast, but loses whole
        # frames behind a damaged one without a word.
        context.thread_type = "SLICE"
        context.thread_count = threads or 0
        self.rate = Fraction(stream.guessed_rate or stream.average_rate or 25)
        self.time_base = Fraction(stream.time_base)
        self.number = stream.frames or None
        self.skipped = 0
        self._size: tuple[int, int] | None = None  # of the first frame; that of a stream may change on the way

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def pictures(self) -> Generator[Picture]:
        """Yield the frames in the order of display. One that cannot be decoded, or is damaged, is counted and left out.

        Raises:
            VideoError: a file that is cut off, a stream or camera that has stopped; after all frames before that.
        """
        number, first, last, shift = 0, None, None, 0
        step = max(round(1 / (self.rate * self.time_base)), 1)
        try:
            for packet in self._container.demux(self._stream):
                for frame in self._decode(packet):
                    if frame.pts is None:  # a bare H.264 stream has no times
                        pts = 0 if last is None else last + step
                    else:
                        pts = frame.pts + shift
                    if last is not None and (last - pts) * self.time_base > _CLOCK_JUMP:
                        shift += last + step - pts
                        pts = last + step
                    if frame.is_corrupt or (last is not None and pts <= last):  # damage also upsets the order
                        self.skipped += 1
                        continue
                    if first is None:
                        check_brightness(frame, self.name)
                    first, last = pts if first is None else first, pts
                    yield Picture(number, pts, float((pts - first) * self.time_base), frame)
                    number += 1
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.name} stopped after {number} frames: {explain(error)}") from None
        if self.is_live:
            raise VideoError(f"{self.name} stopped after {number} frames.")
        if number == 0:
            raise VideoError(f"{self.name} holds no frame that can be decoded.")
        if self._is_cut_off():
            raise VideoError(f"{self.name} is cut off: the file ends after {number} frames, before its last one.")

    def to_rgb(self, picture: Picture) -> np.ndarray:
        """Convert a picture to a uint8 RGB array [height, width, 3], as it is shown, of one size throughout the video.

        Pixels that are not square become so, and the picture is turned and mirrored; see `video.display`.

        Raises:
            VideoError: it cannot be converted.
        """
        frame = picture.frame
        if self._size is None:
            self._size = square_pixels(frame.width, frame.height, self._stream.sample_aspect_ratio, self.name)
        width, height = self._size
        try:
            image = frame.to_ndarray(format="rgb24", width=width, height=height)
        except (self._av.FFmpegError, ValueError) as error:
            raise VideoError(f"a frame of {self.name} cannot be converted: {explain(error)}") from None
        return np.ascontiguousarray(upright(image, display_matrix(frame), self.name))

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except self._av.error.EOFError:
            return []
        except self._av.FFmpegError:
            self.skipped += 1
            return []

    def _is_cut_off(self) -> bool:
        """Tell whether the index of the file (MP4 has one, other formats say less) leads beyond its end."""
        entries = self._stream.index_entries
        ends = (entries[i].pos + entries[i].size for i in range(len(entries)))
        return self._path is not None and max(ends, default=0) > self._path.stat().st_size


def newest(pictures: Iterator[Picture]) -> Generator[Picture]:
    """Yield, of pictures that come faster than they are taken, always the newest: for sources that do not wait.

    They are read in a thread of their own, which ends with the next picture when the iteration is broken off.

    Raises:
        VideoError: what `pictures` raises.
    """
    slot: deque[Picture] = deque(maxlen=1)
    news: SimpleQueue[BaseException | None] = SimpleQueue()  # None: look into the slot
    stopped = Event()

    def read() -> None:
        end: BaseException = StopIteration()
        try:
            for picture in pictures:
                slot.append(picture)
                news.put(None)
                if stopped.is_set():
                    break
        except BaseException as error:  # whatever it is: nobody may wait for a thread that has ended
            end = error
        news.put(end)

    thread = Thread(target=read, name="read", daemon=True)
    thread.start()
    try:
        end = None
        while end is None:
            end = news.get()
            while end is None and not news.empty():  # the news of pictures that newer ones have replaced
                end = news.get()
            if slot:  # else its news came when it had been taken
                yield slot.pop()
        if not isinstance(end, StopIteration):
            raise end
    finally:
        stopped.set()
        thread.join()


def import_av() -> ModuleType:
    """Import PyAV.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise DependencyError(
            f"Videos are read and written with PyAV, which cannot be imported ({error}). "
            "Install it: `pip install maskrt[video]`."
        ) from None
    return av


def explain(error: Exception) -> str:
    """Write an error of FFmpeg or of the operating system as the end of a sentence."""
    return f"{getattr(error, 'strerror', None) or error}."
