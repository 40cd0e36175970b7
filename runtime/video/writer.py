"""H.264 video out, through PyAV (FFmpeg)."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.errors import VideoError
from maskrt.files import check_replaceable
from maskrt.runtime.video.reader import explain, import_av

# veryfast takes a fifth of the time of the default preset, and keeps up with the model; larger files are the price.
# No B-frames: FFmpeg takes the end of the packet that comes last for the end of a file in pieces, and that of a B-frame
# lies before the last frame, which players then do not show.
_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "21", "bf": "0"}
PARTIAL_SUFFIX = ".partial.mp4"
"""Of a video that is being written."""

# In pieces that can be played each by itself, at least one a second: a process that is killed, or a disk that is full,
# leaves what was written until then. FFmpeg from 7.1 on makes an ordinary MP4 of them at the end, with one index.
_IN_PIECES = {"frag_duration": "1000000", "flush_packets": "1"}
_ORDINARY_AT_THE_END = (61, 7, 100)  # libavformat
_BT709 = 1  # ITU-R BT.709 in ISO/IEC 23091-2: what players take for granted
_LIMITED_RANGE = 1  # of the luma, 16 to 235


class VideoWriter:
    """An MP4 file with H.264 video, written frame by frame.

    The file appears under its name when it is closed, whole and playable, also after an interruption. Until then it is
    `<name>.partial.mp4`, which can be played too, and stays where the process is killed or the disk is full.

    Args:
        path: of the file.
        size: (height, width) of the frames; a side of odd length is made one pixel longer, as H.264 wants it.
        rate: frames per second, roughly; the exact times are those of the frames.
        time_base: seconds per unit of their times.
        threads: of the encoder. None: one per core.

    Raises:
        VideoError: this FFmpeg has no H.264 encoder.
        ArgumentError: the file is a device, a pipe or a socket.
        DependencyError: PyAV is not installed.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], rate: Fraction, time_base: Fraction, threads: int | None = None
    ) -> None:
        self._av = import_av()
        self._path = path
        self._unfinished = path.with_name(f"{path.stem}{PARTIAL_SUFFIX}")
        self._time_base = time_base
        self._first_pts: int | None = None
        self._failure: VideoError | None = None
        for file in (path, self._unfinished):
            check_replaceable(file)
        self._container = self._open()  # the file is made when there is a frame
        try:
            self._stream = self._add_stream(size, rate, threads)
        except BaseException:
            self._discard()
            raise

    def _open(self) -> Any:
        ordinary = self._av.library_versions["libavformat"] >= _ORDINARY_AT_THE_END
        flags = "hybrid_fragmented" if ordinary else "frag_keyframe+default_base_moof"
        # Behind the first piece, the header knows by how much the encoder delays the first frame.
        options = {"movflags": f"{flags}+delay_moov", **_IN_PIECES}
        return self._av.open(f"file:{self._unfinished}", "w", format="mp4", options=options)

    def _add_stream(self, size: tuple[int, int], rate: Fraction, threads: int | None) -> Any:
        try:
            stream = self._container.add_stream("h264", rate=rate, options=_ENCODER_OPTIONS)
        except (ValueError, self._av.FFmpegError):
            raise VideoError(
                f"{self._path} cannot be written: this FFmpeg has no H.264 encoder. Use `--no-overlays` for the "
                "instances alone, or PyAV from PyPI, which has one."
            ) from None
        stream.height, stream.width = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        context.thread_count = threads or 0
        return stream

    def write(self, image: np.ndarray, pts: int) -> None:
        """Append a frame.

        Args:
            image: [height, width, 3] uint8 RGB.
            pts: its time in units of `time_base`, later than the one before. The first frame is at 0 in the file.

        Raises:
            VideoError: the file cannot be written.
        """
        if self._failure is not None:
            raise self._failure
        if self._first_pts is None:
            self._first_pts = pts
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = pts - self._first_pts, self._time_base
        self._mux(frame)

    def close(self) -> bool:
        """Finish the file.

        Returns:
            Whether it was written: not without a frame, nor after `write` has failed.

        Raises:
            VideoError: the file cannot be written.
        """
        if self._failure is not None:
            return False
        if self._first_pts is None:
            self._discard()
            return False
        try:
            self._mux(None)
            self._container.close()
            self._unfinished.replace(self._path)
            return True
        except (OSError, self._av.FFmpegError) as error:
            self._failure = self._cannot_write(error)
            raise self._failure from None
        finally:
            if self._failure is None:
                self._unfinished.unlink(missing_ok=True)

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (OSError, self._av.FFmpegError) as error:
            with suppress(OSError, self._av.FFmpegError):  # why it cannot be written is said below
                self._container.close()
            self._failure = self._cannot_write(error)
            raise self._failure from None

    def _discard(self) -> None:
        with suppress(OSError, self._av.FFmpegError):  # there is nothing in it
            self._container.close()
        self._unfinished.unlink(missing_ok=True)

    def _cannot_write(self, error: Exception) -> VideoError:
        """Say why, and where what was written until then is; a file with nothing in it goes."""
        reason = f"{self._path} cannot be written: {explain(error)}"
        if self._unfinished.is_file() and self._unfinished.stat().st_size:
            return VideoError(f"{reason} What was written until then is in {self._unfinished}.")
        self._unfinished.unlink(missing_ok=True)
        return VideoError(reason)
