"""What lies beside the weights, as plain data: dictionaries, lists, texts and numbers."""

from __future__ import annotations

from typing import Any

from maskrt.export.checkpoints.values import Blob, Inert, PickledArray, StoredTensor, Symbol, UnreadableTensor

_MOST_VALUES = 200_000
_DEEPEST = 40
_LONGEST_TEXT = 1 << 22


class _TooMuch(Exception):
    """More than anybody reads, as references to references of references make it."""


def to_plain(value: object) -> Any:
    """Copy a value of a checkpoint as plain data.

    An object of a class becomes the dictionary of its items or of its attributes, else the list of its elements or of
    its state, else its only argument, else its class's name; a tensor or an array becomes None. None also stands for
    what is nested in more than 40 others, and for all of a value that has more than 200,000 parts once its references
    are followed.
    """
    try:
        return _Copier().copy(value, 0)
    except _TooMuch:
        return None


class _Copier:
    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def copy(self, value: object, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, bytes):
            return value.decode("latin-1")
        if isinstance(value, Blob):
            return value.text() if value.length <= _LONGEST_TEXT else None
        if depth == _DEEPEST or isinstance(value, StoredTensor | UnreadableTensor | PickledArray):
            return None
        if isinstance(value, dict):
            return {self._key(key): self.copy(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy(each, depth + 1) for each in value]
        if isinstance(value, Inert):
            return self._copy_inert(value, depth)
        return str(value) if isinstance(value, Symbol) else None

    def _copy_inert(self, value: Inert, depth: int) -> Any:
        attributes = value.items or value.attributes()
        if attributes:
            return self.copy(attributes, depth + 1)
        if value.elements:
            return self.copy(value.elements, depth + 1)
        if isinstance(value.state, list | tuple):
            return self.copy(value.state, depth + 1)
        if len(value.args) == 1:
            return self.copy(value.args[0], depth + 1)
        return str(value.symbol)

    def _key(self, key: object) -> Any:
        return key if isinstance(key, str | int | float | bool) or key is None else str(key)[:100]
