"""`maskrt infer` that sends itself a real SIGINT in the middle: `python interrupted_infer.py SCENARIO ARGUMENTS...`.

In a process of its own, as in `streaming/ctrl_c.py`, which says why.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from maskrt.runtime import read_image, segmenter
from maskrt.runtime.infer import main
from maskrt.runtime.video.reader import Picture, VideoReader


def picture() -> None:
    """While `z.png` is read and another one waits: the main thread is anywhere then."""
    arrived = threading.Event()

    def interrupt(*_: object) -> None:
        arrived.set()
        raise KeyboardInterrupt

    def interrupted_read(path: Path) -> np.ndarray:
        if path.name == "z.png":
            os.kill(os.getpid(), signal.SIGINT)
            assert arrived.wait(60)
            time.sleep(0.2)  # until the main thread has told the others
        return read_image(path)

    segmenter.read_image = interrupted_read
    signal.signal(signal.SIGINT, interrupt)


def video() -> None:
    """At frame 20."""
    pictures = VideoReader.pictures

    def interrupted(self: VideoReader) -> Iterator[Picture]:
        for picture in pictures(self):
            if picture.number == 20:
                os.kill(os.getpid(), signal.SIGINT)
            yield picture

    VideoReader.pictures = interrupted  # type: ignore[method-assign]


if __name__ == "__main__":
    {"picture": picture, "video": video}[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
