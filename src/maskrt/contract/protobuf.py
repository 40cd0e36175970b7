"""The fields of a protobuf message, read without its schema and without copying it."""

import mmap
from collections.abc import Iterator

_MAX_FIELD = 2000  # the messages of ONNX have numbers below 40; anything large is not ONNX


class Damaged(Exception):
    """The bytes are not a protobuf message, or end too early."""


def fields(data: mmap.mmap | bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the (field number, start, end) of each field of the message between two offsets.

    Raises:
        Damaged: it is none.
    """
    while position < end:
        tag, position = _varint(data, position, end)
        field, wire_type = tag >> 3, tag & 7
        start = position
        if wire_type == 0:
            _, position = _varint(data, position, end)
        elif wire_type == 1:
            position += 8
        elif wire_type == 2:
            length, start = _varint(data, position, end)
            position = start + length
        elif wire_type == 5:
            position += 4
        else:
            raise Damaged
        if not 0 < field < _MAX_FIELD or position > end:
            raise Damaged
        yield field, start, position


def _varint(data: mmap.mmap | bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Damaged
