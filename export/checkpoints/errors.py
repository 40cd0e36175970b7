"""What can be wrong with a checkpoint or a config, and how values of a file are shown in a sentence about it."""

from maskrt.export.errors import SourceError

_LONGEST = 80

SUPPORTED = "Faster, Mask, Keypoint and Cascade R-CNN of torchvision, detectron2 and mmdetection 2 and 3"
"""What can be exported, for messages."""


class CheckpointError(SourceError):
    """A checkpoint is missing, damaged, of a kind that cannot be read without running code, or of another model."""

    code = "MRT-009"


class ConfigError(SourceError):
    """A config is missing, damaged or incomplete, or says something that maskrt cannot follow."""

    code = "MRT-010"


class Damaged(Exception):
    """The bytes are not what their format says; the message is a part of a sentence that names the file."""


def shown(value: object) -> str:
    """Return a value out of a file, escaped and shortened, so that it can stand in a sentence."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # a whole number of more digits than Python converts; a list in itself
        text = f"a {type(value).__name__}"
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    return repr(text) if isinstance(value, str) else text.replace("\n", " ")
