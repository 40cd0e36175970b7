"""The name of each label of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskrt.errors import ArgumentError
from maskrt.files import read_text_file

BACKGROUND = "__background__"
"""Name of label 0."""
_USUAL = frozenset({"background", "bg"})
_IGNORED = "__ignore__"


def read_class_names(path: Path) -> list[str]:
    """Read a file with one name a line; the background is put in front where it is not there under a usual name.

    labelme's files begin with `__ignore__`, which is the name of no label.

    Raises:
        MaskrtError: the file cannot be read.
    """
    text = read_text_file(path, "class names")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if names[:1] == [_IGNORED]:
        names = names[1:]
    return names if _is_background(names) else [BACKGROUND, *names]


def _is_background(names: Sequence[str]) -> bool:
    return bool(names) and names[0].strip("_").lower() in _USUAL


def fit_class_names(names: Sequence[str], num_labels: int, origin: str) -> tuple[str, ...]:
    """Return a name for each label.

    Args:
        names: of each label, or of each but the background.
        num_labels: of the model, with the background.
        origin: who has these names, for the message: "got", "the model's class_names has".

    Raises:
        ArgumentError: they are no text, or not as many as the model has labels.
    """
    if not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"class names must be text, but got {next(n for n in names if not isinstance(n, str))!r}")
    # As many names as labels: the first is the background's, whatever it is called.
    if len(names) != num_labels and list(names[:1]) != [BACKGROUND]:
        names = [BACKGROUND, *names]
    if len(names) != num_labels:
        raise ArgumentError(
            f"the model has {num_labels - 1} classes besides the background, but {origin} {len(names) - 1} class "
            "names; give one name for each class"
        )
    return tuple(names)
