"""What OpenCV writes past Python does not reach the terminal."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from maskrt.errors import ImageError
from maskrt.runtime import read_image
from maskrt.runtime.images.opencv_log import silent


def test_a_file_that_opencv_complains_about(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((48, 72, 3), np.uint8), photometric="rgb", tile=(16, 16))
    before = cv2.utils.logging.getLogLevel()
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(path)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == before


def test_threads_put_the_level_back() -> None:
    before = cv2.utils.logging.getLogLevel()
    levels = []

    def work() -> None:
        for _ in range(200):
            with silent():
                levels.append(cv2.utils.logging.getLogLevel())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(levels) == {cv2.utils.logging.LOG_LEVEL_SILENT}
    assert cv2.utils.logging.getLogLevel() == before
