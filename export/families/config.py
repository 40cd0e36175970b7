"""Configs of frameworks: nested mappings out of a user's file, whose values are checked as they are taken."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from maskrt.export.checkpoints.configs.base import Config, Unknown
from maskrt.export.checkpoints.errors import shown
from maskrt.export.errors import UnsupportedModelError, first_line

T = TypeVar("T", str, int, bool)

_REQUIRED: Any = object()


class Section:
    """A mapping of a config, and where it is.

    A value that is absent has the default that is asked for, or is refused. Every message names the entry, what it is,
    and what was expected.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "", source: str = "The config") -> None:
        """Take a mapping.

        Args:
            values: its entries.
            path: its dotted name, "" for the whole config.
            source: of the config, for the messages.
        """
        self.values, self.path, self._source = values, path, source

    @classmethod
    def of(cls, config: Config) -> Section:
        """Return the whole of a config that was read."""
        return cls(config.values, source=config.source)

    def with_values(self, values: Mapping[str, Any]) -> Section:
        """Return the same place with other entries."""
        return Section(values, self.path, self._source)

    def name_of(self, key: str) -> str:
        """Return the dotted name of an entry."""
        return f"{self.path}.{key}" if self.path else key

    def refusal(self, key: str, expected: str) -> UnsupportedModelError:
        """Return the error of an entry: what it is, and what was expected."""
        if key not in self.values:
            return UnsupportedModelError(f"{self._source} has no {self.name_of(key)}; expected {expected}.")
        value = self.values[key]
        text = value.text if isinstance(value, Unknown) else shown(value)
        return UnsupportedModelError(f"{self._source} says {self.name_of(key)} as {text}; expected {expected}.")

    def error(self, sentence: str) -> UnsupportedModelError:
        """Return an error about the whole: "<the config> <sentence>."."""
        return UnsupportedModelError(f"{self._source} {sentence}.")

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return the value of an entry, whatever it is.

        Raises:
            UnsupportedModelError: it is absent, and there is no default.
        """
        if key in self.values:
            return self.values[key]
        if default is _REQUIRED:
            raise self.refusal(key, "a value")
        return default

    @contextlib.contextmanager
    def making_layers(self) -> Iterator[None]:
        """Make layers of the whole config's settings.

        Raises:
            UnsupportedModelError: PyTorch cannot, for example because groups do not divide channels.
        """
        try:
            yield
        except ValueError as error:
            raise self.error(f"asks for a layer that cannot be: {first_line(error)}") from error

    def section(self, key: str) -> Section:
        """Return the mapping of an entry.

        Raises:
            UnsupportedModelError: it is absent, or no mapping.
        """
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            raise self.refusal(key, "a mapping")
        return Section(value, self.name_of(key), self._source)

    def item(self, key: str, number: int, values: Mapping[str, Any]) -> Section:
        """One of the mappings in the list of an entry."""
        return Section(values, f"{self.name_of(key)}[{number}]", self._source)

    def one_of(self, key: str, choices: Collection[T], default: T = _REQUIRED) -> T:
        """One of several texts, whole numbers or flags.

        Raises:
            UnsupportedModelError: it is none of them.
        """
        value = self.values.get(key, default)
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        listed = [repr(choice) for choice in choices]
        raise self.refusal(key, listed[0] if len(listed) == 1 else f"one of {', '.join(listed)}")

    def flag(self, key: str, default: bool = _REQUIRED) -> bool:
        """Return True or False.

        Raises:
            UnsupportedModelError: it is neither.
        """
        return self.one_of(key, (True, False), default)

    def count(self, key: str, default: int = _REQUIRED, *, least: int = 1, most: int = 16384) -> int:
        """Return a whole number; no sensible size or number is above `most`.

        Raises:
            UnsupportedModelError: it is something else.
        """
        value = self.values.get(key, default)
        if type(value) is not int or not least <= value <= most:
            raise self.refusal(key, f"a whole number from {least} to {most}")
        return value

    def number(
        self, key: str, default: float = _REQUIRED, *, least: float = -math.inf, most: float = math.inf
    ) -> float:
        """Return a finite number.

        Raises:
            UnsupportedModelError: it is something else.
        """
        value = self.values.get(key, default)
        if not _is_number(value) or not least <= value <= most:
            limits = "" if math.isinf(least) and math.isinf(most) else f" from {least:g} to {most:g}"
            raise self.refusal(key, f"a number{limits}")
        return float(value)

    def numbers(self, key: str, length: int | None = None, default: Sequence[float] = _REQUIRED) -> tuple[float, ...]:
        """Return a list of finite numbers; `length` of them, or at least one.

        Raises:
            UnsupportedModelError: it is something else.
        """
        value = self.values.get(key, default)
        if not _is_list(value) or not all(map(_is_number, value)) or len(value) != (length or max(len(value), 1)):
            raise self.refusal(key, "a list of numbers" if length is None else f"a list of {length} numbers")
        return tuple(map(float, value))

    def counts(self, key: str, default: Sequence[int] = _REQUIRED, *, least: int = 1) -> tuple[int, ...]:
        """Return a list of whole numbers.

        Raises:
            UnsupportedModelError: it is something else.
        """
        value = self.values.get(key, default)
        if not _is_list(value) or not value or not all(type(v) is int and least <= v <= 16384 for v in value):
            raise self.refusal(key, f"a list of whole numbers from {least}")
        return tuple(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, at least one.

        Raises:
            UnsupportedModelError: it is something else.
        """
        value = self.values.get(key)
        if not _is_list(value) or not value or not all(isinstance(each, str) for each in value):
            raise self.refusal(key, "a list of names")
        return tuple(value)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30  # type: ignore[arg-type]


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
