"""What a config says, whichever framework wrote it: values by dotted names, and whether they can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.export.checkpoints.errors import ConfigError, shown

_MISSING = object()


@dataclass(frozen=True)
class Unknown:
    """Stands for a value that only running a config would give; `text` is how it is written there."""

    text: str


@dataclass(frozen=True)
class Config:
    """A config.

    Attributes:
        source: where it is from, for messages: a file's name, or what names it.
        values: nested dictionaries, lists, texts, numbers, and `Unknown`.
        notes: sentences for the user about how it was read.
    """

    source: str
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def value(self, name: str, default: Any = _MISSING) -> Any:
        """Return the value of a dotted name, for example `MODEL.RPN.NMS_THRESH` or `model.neck.out_channels`.

        Raises:
            ConfigError: it is missing and there is no default, or it, or a part of it, is `Unknown`.
        """
        found: Any = self.values
        for position, key in enumerate(name.split(".")):
            if isinstance(found, Unknown):
                break
            if isinstance(found, list | tuple) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            elif default is not _MISSING:
                return default
            else:
                where = ".".join(name.split(".")[: position + 1])
                raise ConfigError(f"{self.source} has no {where}, which is needed. Add it.")
        unknown = _first_unknown(found)
        if unknown is not None:
            raise ConfigError(
                f"{self.source} gives {name} as {shown(unknown.text)}, which only running it would tell. Write its "
                "value there instead: a number, a text, or a list of them."
            )
        return found


def _first_unknown(value: Any) -> Unknown | None:
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((found for each in value if (found := _first_unknown(each)) is not None), None)
    return None


def read_text(path: Path, largest: int = 1 << 18) -> str:
    """Return the text of a config file.

    Raises:
        ConfigError: there is none, it is no text, or it is larger than a config can be.
    """
    from maskrt.export.checkpoints.files import open_regular

    with open_regular(path, "config", ConfigError) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ConfigError(f"Cannot read the config {path}: it has more than {largest >> 10} KiB. Give a config file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"Cannot read the config {path}: it is no text in UTF-8. Give a config file, not the checkpoint."
        ) from error
