"""What a pickle is read as: plain containers, symbols for its classes, inert objects, and tensors not yet read.

Nothing here ever calls what a pickle names. A `Symbol` is two strings; an `Inert` object keeps what a pickle would have
given to a class.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from maskrt.export.checkpoints.errors import Damaged
from maskrt.export.checkpoints.files import read_into

LARGEST_EXPANSION = 1 << 28
"""Bytes to which a stride of zero may blow up a tensor beyond its storage."""


@dataclass(frozen=True)
class Symbol:
    """A class or function that a pickle names; only its name is used."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Inert:
    """Stands for an object of a class that is not read: keeps what it was to be made of, and does nothing.

    Attributes:
        symbol: the class or function that was to make it.
        args, kwargs: its arguments.
        state: what `__setstate__` was to get.
        items, elements: what was to be set and appended.
    """

    symbol: Symbol
    args: tuple[object, ...] = ()
    kwargs: dict[object, object] = field(default_factory=dict)
    state: object = None
    items: dict[object, object] = field(default_factory=dict)
    elements: list[object] = field(default_factory=list)

    def attributes(self) -> dict[object, object]:
        """Return the state as a mapping, as objects without `__setstate__` have it; else empty."""
        if type(self.state) is dict:
            return self.state
        if type(self.state) is tuple and len(self.state) == 2 and any(type(part) is dict for part in self.state):
            # (the instance's dictionary, its slots)
            return {key: value for part in self.state if type(part) is dict for key, value in part.items()}
        return {}


class Mapping(dict[object, object]):
    """A dictionary that a pickle gives attributes, as PyTorch does with the versions of a state dict's modules."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: dict[object, object] = {}


@dataclass(frozen=True)
class Blob:
    """Bytes or text in a file, not read yet."""

    file: BinaryIO
    position: int
    length: int
    is_text: bool
    encoding: str = "latin-1"

    def data(self) -> bytes | bytearray:
        """Return the bytes; of a text those that NumPy and Python 2 mean, one for each character."""
        raw = bytearray(self.length)
        read_into(self.file, self.position, memoryview(raw))
        return self._decoded(raw).encode("latin-1") if self.is_text else raw

    def text(self) -> str:
        """Return the text; of bytes one character for each of them."""
        raw = bytearray(self.length)
        read_into(self.file, self.position, memoryview(raw))
        return self._decoded(raw)

    def _decoded(self, raw: bytearray) -> str:
        return raw.decode(self.encoding, "surrogatepass" if self.encoding == "utf-8" else "strict")


Fill = Callable[[memoryview], None]


@dataclass(eq=False)
class Storage:
    """Numbers of one type in a row, which several tensors may share; read when the first of them is.

    Attributes:
        dtype: of the numbers.
        count: how many there are.
        fill: writes them to memory of `count` numbers; None until it is known where they are.
        swapped: whether their bytes are in the order that is not this machine's.
    """

    dtype: torch.dtype
    count: int
    fill: Fill | None = None
    swapped: bool = False
    _read: Tensor | None = None

    def numbers(self) -> Tensor:
        """All of them, `[count]`.

        Raises:
            Damaged: they are not in the file.
        """
        if self._read is None:
            if self.fill is None:
                raise Damaged("the numbers of a tensor are missing")
            raw = torch.empty(self.count * self.dtype.itemsize, dtype=torch.uint8)
            self.fill(raw.numpy().data)
            if self.swapped:
                width = self.dtype.itemsize // (2 if self.dtype.is_complex else 1)
                raw = raw.reshape(-1, width).flip(1).reshape(-1)
            self._read = raw.view(self.dtype)
        return self._read


@dataclass(eq=False)
class StoredTensor:
    """A tensor in a file, not read yet; `offset` and `strides` count numbers of its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    def load(self) -> Tensor:
        """Read it.

        Raises:
            Damaged: its numbers are missing or do not fill it.
        """
        numbers = self.storage.numbers()
        if self.dtype != self.storage.dtype:  # a storage of bytes
            numbers = numbers.view(self.dtype)
        if not all(self.shape):
            return torch.empty(self.shape, dtype=self.dtype)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.strides, 0) < 0 or last >= numbers.numel():
            raise Damaged("a tensor is larger than its numbers")
        elements = math.prod(self.shape)
        if elements > numbers.numel() and elements * self.dtype.itemsize > LARGEST_EXPANSION:
            raise Damaged(f"a tensor repeats {numbers.numel()} numbers {elements} times")
        return numbers.as_strided(self.shape, self.strides, self.offset)


@dataclass(eq=False)
class UnreadableTensor:
    """A tensor of a kind that has no plain numbers; `why` says which and what to do."""

    why: str


@dataclass(eq=False)
class PickledDtype:
    """A `numpy.dtype` in the making."""

    code: str
    order: str = "="
    plain: bool = True

    def set_state(self, state: object) -> None:
        """Take the state that `numpy.dtype.__reduce__` writes: version, byte order, and what only records have."""
        if type(state) is not tuple or len(state) < 5 or not isinstance(state[1], str):
            raise Damaged("a NumPy type is described wrongly")
        self.order = state[1]
        self.plain = state[2] is None and state[3] is None

    def numpy(self) -> np.dtype | None:
        """Return the type, if it is one of numbers."""
        if not self.plain or self.code not in _NUMBERS or self.order not in "<>=|":
            return None
        return np.dtype(self.code).newbyteorder("=" if self.order == "|" else self.order)  # type: ignore[arg-type]


_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")


@dataclass(eq=False)
class PickledArray:
    """A `numpy.ndarray` in the making."""

    shape: tuple[int, ...] = ()
    dtype: object = None
    fortran: bool = False
    data: object = None

    def set_state(self, state: object) -> None:
        """Take the state that `numpy.ndarray.__reduce__` writes: version, shape, type, order, data."""
        if type(state) is not tuple or len(state) not in (4, 5):
            raise Damaged("a NumPy array is described wrongly")
        shape, self.dtype, fortran, self.data = state[-4:]
        self.shape = checked_sizes(shape)
        self.fortran = fortran is True or fortran == 1

    def tensor(self) -> StoredTensor | UnreadableTensor:
        """Return the array as a tensor that is read later."""
        dtype = self.dtype.numpy() if isinstance(self.dtype, PickledDtype) else None
        if dtype is None:
            code = self.dtype.code if isinstance(self.dtype, PickledDtype) else "unknown"
            return UnreadableTensor(f"it is a NumPy array of the type {code[:20]!r}, not of numbers")
        data, count = self.data, math.prod(self.shape)

        def fill(target: memoryview) -> None:
            content = data.data() if isinstance(data, Blob) else data
            raw = content.encode("latin-1") if isinstance(content, str) else content
            if not isinstance(raw, bytes | bytearray) or len(raw) != len(target):
                raise Damaged("a NumPy array has not as many numbers as it says")
            target[:] = raw

        if count * dtype.itemsize > self._bytes():
            raise Damaged("a NumPy array has not as many numbers as it says")
        native = torch.from_numpy(np.empty(0, dtype.newbyteorder("="))).dtype
        order = reversed(self.shape) if self.fortran else self.shape
        strides = _contiguous(tuple(order))
        storage = Storage(native, count, fill, swapped=not dtype.isnative)
        return StoredTensor(storage, 0, self.shape, strides[::-1] if self.fortran else strides, native)

    def _bytes(self) -> int:
        """How many there are at most; a text has one or more for each."""
        if isinstance(self.data, Blob):
            return self.data.length
        return len(self.data) if isinstance(self.data, str | bytes | bytearray) else 0


def checked_sizes(sizes: object) -> tuple[int, ...]:
    """Sizes or strides of a tensor that a pickle gives.

    Raises:
        Damaged: they are none.
    """
    if type(sizes) is int:
        sizes = (sizes,)
    if (
        not isinstance(sizes, tuple | list)
        or len(sizes) > 32
        or not all(type(size) is int and 0 <= size < 1 << 48 for size in sizes)
    ):
        raise Damaged("a tensor has impossible sizes")
    return tuple(sizes)


def _contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_little_endian() -> bool:
    """Whether this machine is."""
    return sys.byteorder == "little"
