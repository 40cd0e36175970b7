"""A text file of a video, to which each frame is appended at once: an interrupted run leaves what it has done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from maskrt.errors import MaskrtError
from maskrt.files import check_replaceable


class FrameFile:
    """Is open from the beginning, and says in a sentence why it cannot be written.

    Args:
        path: of the file.

    Raises:
        MaskrtError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        check_replaceable(path)
        # Line ends as they are written: the csv module makes its own.
        self._file: TextIO = self._or_sentence(
            lambda: path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        )

    def append(self, write: Callable[[TextIO], Any]) -> None:
        """Have `write` write a frame to the file, which is flushed then.

        Raises:
            MaskrtError: the file cannot be written.
        """
        self._or_sentence(lambda: (write(self._file), self._file.flush()))

    def close(self) -> Path:
        """Close the file and return its path.

        Raises:
            MaskrtError: the file cannot be written.
        """
        self._or_sentence(self._file.close)
        return self._path

    def _or_sentence(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            raise MaskrtError(f"{self._path} cannot be written: {error.strerror or error}.") from None
