"""Protocol buffers in their text form, as far as a model's configuration for Triton needs it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


class Name(str):
    """A value of an enumeration, which is written without quotes."""


def to_text(message: Mapping[str, Any], indent: str = "") -> str:
    """Write a message.

    Args:
        message: field by field: text, `Name`, a number, a truth value, a message, or a list of these. A list of
            messages is a field that is repeated; a mapping whose values are messages of one key, as of `parameters`,
            is given as such a list with `key` and `value`.
        indent: of each line.
    """
    lines = []
    for name, value in message.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{name} {{\n{to_text(value, indent + '  ')}{indent}}}")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            if value and isinstance(value[0], Mapping):
                lines += [f"{indent}{name} {{\n{to_text(item, indent + '  ')}{indent}}}" for item in value]
            else:
                lines.append(f"{indent}{name}: [{', '.join(map(_scalar, value))}]")
        else:
            lines.append(f"{indent}{name}: {_scalar(value)}")
    return "".join(f"{line}\n" for line in lines)


def _scalar(value: Any) -> str:
    if isinstance(value, Name):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # The escapes of JSON are those of the text form, but for \u, which is not asked for, and \/, which is not written.
    return json.dumps(value, ensure_ascii=False)
