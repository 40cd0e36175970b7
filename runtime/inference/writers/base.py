"""What an output writer is: takes the results of a run, in a form of its own."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from maskrt.errors import MaskrtError
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import PictureJob, Source


class NoMoreRoom(MaskrtError):
    """Nothing can be written any more, of this picture or of any other: the disk is full."""

    code = "MRT-007"


def no_more_room(path: Path, error: OSError, kept: str = "") -> MaskrtError:
    """Return what to raise where `path` could not be written: `NoMoreRoom`, or an error of this picture alone.

    Args:
        path: of the file.
        error: of the operating system.
        kept: where the results are all the same, a sentence.
    """
    reason = f"{path} cannot be written: {error.strerror or error}."
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return MaskrtError(f"{reason} {kept}".rstrip())
    return NoMoreRoom(f"{reason} {kept} Make room, and go on with --resume.".replace("  ", " "))


class Writer(Protocol):
    """Takes the results of a run.

    Attributes:
        stage: what `prepare` does, in a word, for the table of timings.
    """

    stage: str

    def prepare(self, job: PictureJob) -> Any:
        """Make what is to be written of a picture: the slow part, in a thread of its own, beside the other stages.

        Raises:
            MaskrtError: there is nothing to be written of it.
        """

    def write(self, job: PictureJob, prepared: Any) -> None:
        """Write it; picture by picture in their order, each by all writers before the next, also on an interrupt.

        Args:
            job: of a sequence also those that have an error; otherwise none.
            prepared: by this writer; None for a job with an error.

        Raises:
            NoMoreRoom: nothing can be written any more, which ends the run.
            MaskrtError: it cannot be written. No writer behind this one gets the job; of a sequence, nor any other.
        """

    def close(self) -> list[str]:
        """Finish: what was given to `write` until now is to be used; called once, whatever happened.

        Returns:
            Where the results are, a line each.

        Raises:
            MaskrtError: they cannot be written.
        """


Opener = Callable[[Source, Settings, tuple[str, ...]], Writer | None]
"""Makes a writer for the results of a source, by the settings and class names; None where it has nothing to do there.

Raises MaskrtError where it cannot begin.
"""
