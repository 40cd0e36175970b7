"""The errors that maskrt raises on purpose.

Each message is one or two sentences for the user: what was given, what was expected, and what mends it.
A command-line tool prints the message alone, and behind it the code of its kind; a traceback means a bug in maskrt.
"""

from collections.abc import Mapping
from typing import ClassVar

CODES: Mapping[str, str] = {
    "MRT-001": "a step that failed",
    "MRT-002": "something that was asked for and does not work",
    "MRT-003": "a model file or an engine",
    "MRT-004": "a picture",
    "MRT-005": "a video, a stream or a camera",
    "MRT-006": "a package that is missing",
    "MRT-007": "no more room",
    "MRT-008": "a source model",
    "MRT-009": "a checkpoint",
    "MRT-010": "a config",
    "MRT-011": "a part of a model that cannot be expressed",
    "MRT-012": "a file that is not equal to its model",
    "MRT-013": "building an engine",
    "MRT-014": "a server",
}
"""The kinds of messages. A code keeps its meaning for good; docs/troubleshooting.md has a place for each."""


class MaskrtError(Exception):
    """Base class of every error that maskrt raises on purpose.

    Attributes:
        code: of the kind of message, one of `CODES`.
    """

    code: ClassVar[str] = "MRT-001"


class ArgumentError(MaskrtError, ValueError):
    """An argument of a public function has the wrong type, shape or range."""

    code = "MRT-002"


class ModelError(MaskrtError):
    """A model file is missing, damaged, not a maskrt model, or cannot be loaded here."""

    code = "MRT-003"


class ImageError(MaskrtError):
    """An image file is missing, damaged, too large, or not an image."""

    code = "MRT-004"


class VideoError(MaskrtError):
    """A video, stream or camera cannot be opened, read or written, or has stopped."""

    code = "MRT-005"


class ServerError(MaskrtError):
    """A server cannot be reached, refuses a request, or answers as no server of maskrt's protocol does."""

    code = "MRT-014"


class DependencyError(MaskrtError, ImportError):
    """An optional package that this operation needs is not installed."""

    code = "MRT-006"


def with_code(text: str, code: str) -> str:
    """Return a message with its code at the end, as commands print it."""
    return f"{text} [{code}]"
