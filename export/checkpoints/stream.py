"""Pickles in a row: PyTorch's files before 1.6, and plain pickles of arrays or tensors."""

from __future__ import annotations

import io
import struct

import torch

from maskrt.export.checkpoints.builders import build, storage_dtype
from maskrt.export.checkpoints.errors import Damaged
from maskrt.export.checkpoints.files import Window, read_into
from maskrt.export.checkpoints.unpickler import Unpickler
from maskrt.export.checkpoints.values import Blob, Inert, Storage, Symbol, UnreadableTensor, is_little_endian

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
MAGIC = (_MAGIC_NUMBER.to_bytes(10, "little"), str(_MAGIC_NUMBER).encode())
"""What such a file of PyTorch begins with, as binary pickles and those of text write it."""

_UNREADABLE = "its numbers are quantized, or of a type that maskrt does not know; save them as float32"


def read_stream(window: Window) -> object:
    """Return the object in a file of PyTorch.

    It holds pickles of the magic number, the version, the machine, the object and the keys of the storages, and then
    the storages: for each its count in 8 bytes, and its numbers.

    Raises:
        Damaged, ValueError: it is damaged.
    """
    if Unpickler(window, build).load() != _MAGIC_NUMBER:
        raise Damaged("it does not begin as PyTorch's files do")
    Unpickler(window, build).load()  # the version of the format, which has been 1001 ever since
    machine = Unpickler(window, build).load()
    little = not isinstance(machine, dict) or machine.get("little_endian") is not False
    storages: dict[str, Storage | UnreadableTensor] = {}

    def persistent(pid: object) -> object:
        """`("storage", class, key, device, count[, view])` → a storage that is read later."""
        if isinstance(pid, tuple) and len(pid) >= 2 and pid[0] == "module":  # a class, with its source beside it
            return pid[1]
        if isinstance(pid, str):
            raise Damaged("protocol 0 of pickle has lost which numbers are whose; save it without pickle_protocol=0")
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[2], str):
            raise Damaged("it refers to something other than numbers")
        root = storages.setdefault(pid[2], _storage(pid[1], pid[4], swapped=little != is_little_endian()))
        return root if len(pid) < 6 or pid[5] is None else _view(root, pid[5])

    content = Unpickler(window, build, persistent).load()
    keys = Unpickler(window, build).load()
    if not isinstance(keys, list):
        raise Damaged("it has no list of its storages")
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise Damaged("it lists a storage that no tensor has")
        (count,) = struct.unpack("<q" if little else ">q", window.read(8))
        if isinstance(storage, UnreadableTensor):
            raise Damaged("it holds quantized numbers, whose size is unknown; save the weights as float32")
        if count != storage.count:
            raise Damaged("a storage has not as many numbers as it says")
        start = window.skip(count * storage.dtype.itemsize)
        storage.fill = lambda target, start=start: read_into(window.file, start, target)
    return content


def read_pickle(window: Window) -> object:
    """Return the object in a plain pickle; tensors in it carry a file of PyTorch each.

    Raises:
        Damaged, ValueError: it is damaged, or is no pickle.
    """

    def build_or_nest(symbol: Symbol, args: tuple[object, ...], kwargs: dict[object, object]) -> object:
        if (symbol.module, symbol.name) != ("torch.storage", "_load_from_bytes"):
            return build(symbol, args, kwargs)
        content = args[0] if args else None
        if isinstance(content, Blob):
            nested = read_stream(Window(content.file, content.position, content.length))
            window.rewind()
        elif isinstance(content, bytes):
            nested = read_stream(Window(io.BytesIO(content)))
        else:
            raise Damaged("a tensor has no numbers")
        return nested if isinstance(nested, Storage | UnreadableTensor) else Inert(symbol)

    return Unpickler(window, build_or_nest).load()


def _storage(kind: object, count: object, *, swapped: bool) -> Storage | UnreadableTensor:
    dtype = storage_dtype(kind)
    if dtype is None:
        return UnreadableTensor(_UNREADABLE)
    if type(count) is not int or not 0 <= count < 1 << 48:
        raise Damaged("a storage has an impossible size")
    return Storage(dtype, count, swapped=swapped)


def _view(root: Storage | UnreadableTensor, view: object) -> Storage | UnreadableTensor:
    """Return a part of a storage, as PyTorch wrote it until 0.3: its key, where it begins, its count."""
    if isinstance(root, UnreadableTensor):
        return root
    if not isinstance(view, tuple) or len(view) != 3 or not all(type(number) is int for number in view[1:]):
        raise Damaged("a part of a storage is described wrongly")
    start, count = view[1:]
    if not 0 <= start <= start + count <= root.count:
        raise Damaged("a part of a storage is larger than it")

    def fill(target: memoryview) -> None:
        numbers = root.numbers()[start : start + count]
        target[:] = numbers.contiguous().view(torch.uint8).numpy().data

    return Storage(root.dtype, count, fill)
