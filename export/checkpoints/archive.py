"""PyTorch's ZIP archives (`torch.save` since 1.6): a pickle, and a record for the numbers of each storage."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from maskrt.export.checkpoints.builders import build, storage_dtype
from maskrt.export.checkpoints.errors import CheckpointError, Damaged
from maskrt.export.checkpoints.files import Window
from maskrt.export.checkpoints.unpickler import Unpickler
from maskrt.export.checkpoints.values import Storage, UnreadableTensor, is_little_endian

_LARGEST_DIRECTORY = 16 << 20
"""Bytes of the list of records: 200,000 of them, where a checkpoint has some thousand."""
_MOST_COMPRESSED = 20
"""A record that is smaller by more than this is no set of trained weights, but a bomb."""
_CHUNK = 1 << 24

_UNQUANTIZED = "its numbers are quantized, or of a type that maskrt does not know; save them as float32"


class Archive:
    """The records of a file, by name.

    Attributes:
        prefix: the folder that all records of PyTorch are in, with its slash; "" if there is no pickle.
        names: of all records.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the list of records.

        Raises:
            Damaged, zipfile.BadZipFile: there is none.
        """
        _check_directory(file)
        self._zip = zipfile.ZipFile(file)
        self._records = {info.filename: info for info in self._zip.infolist()}
        self.names = list(self._records)
        if len(self.names) != len(self._zip.infolist()):
            raise Damaged("two of its records have one name")
        size = file.seek(0, io.SEEK_END)
        if sum(info.compress_size for info in self._records.values()) > size:
            raise Damaged("its records are larger than the file")
        # torch.serialization.set_crc32_options(False) writes zeros instead of checksums.
        self._has_checksums = any(info.CRC for info in self._records.values())
        pickles = [name for name in self.names if name.endswith("/data.pkl") and name.count("/") == 1]
        self.prefix = pickles[0].removesuffix("data.pkl") if len(pickles) == 1 else ""

    def has(self, name: str) -> bool:
        """Whether PyTorch's folder has a record, or a folder if `name` ends with a slash."""
        full = self.prefix + name
        return any(each.startswith(full) for each in self.names) if name.endswith("/") else full in self._records

    def size(self, name: str) -> int:
        """Bytes of a record of PyTorch's folder.

        Raises:
            Damaged: there is none, or it unpacks to far more than the file has.
        """
        info = self._records.get(self.prefix + name)
        if info is None:
            raise Damaged(f"it has no record {name[:40]!r}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise Damaged("its records are packed in a way that PyTorch does not read")
        stored = info.compress_type == zipfile.ZIP_STORED
        if info.file_size > info.compress_size * (1 if stored else _MOST_COMPRESSED) + 1024 * (not stored):
            raise Damaged(f"a record unpacks from {info.compress_size} to {info.file_size} bytes")
        return info.file_size

    def read(self, name: str, target: memoryview) -> None:
        """Fill memory with a record of PyTorch's folder, whose checksum must be right.

        Raises:
            Damaged, zipfile.BadZipFile: it is not all there.
        """
        if self.size(name) != len(target):
            raise Damaged(f"a record has {self.size(name)} bytes where {len(target)} are expected")
        info = self._records[self.prefix + name]
        if not self._has_checksums:
            info.CRC = None  # type: ignore[assignment]  # which zipfile takes as unknown
        with self._zip.open(info) as record:
            position = 0
            while position < len(target):
                piece = record.read(min(_CHUNK, len(target) - position))
                if not piece:
                    raise Damaged("it ends too early")
                target[position : position + len(piece)] = piece
                position += len(piece)
            record.read(1)  # the end, where the checksum is compared

    def bytes(self, name: str) -> bytes:
        """Return a record of PyTorch's folder."""
        data = bytearray(self.size(name))
        self.read(name, memoryview(data))
        return bytes(data)


def read_archive(file: BinaryIO, path: Path) -> object:
    """Return the object in an archive; its tensors are read later.

    Raises:
        CheckpointError: it is an archive of another kind.
        Damaged, zipfile.BadZipFile: it is damaged.
    """
    archive = Archive(file)
    if not archive.prefix:
        raise CheckpointError(f"{path} {_what_it_is(archive.names, path)}.")
    if archive.has("constants.pkl") or archive.has("code/"):
        raise CheckpointError(
            f"{path} is a TorchScript archive: a program, not weights alone. Take the weights out of it where it may "
            f"run: python -c \"import torch; torch.save(torch.jit.load({path.name!r}, map_location='cpu')"
            ".state_dict(), 'weights.pth')\"."
        )
    if archive.has(".data/extern_modules"):
        raise CheckpointError(
            f"{path} is a torch.package: a program, not weights alone. Load it where it may run, and save "
            "torch.save(model.state_dict(), 'weights.pth')."
        )
    swapped = _is_little_endian(archive) != is_little_endian()
    storages: dict[str, Storage | UnreadableTensor] = {}

    def persistent(pid: object) -> object:
        """`("storage", class, key, device, count)` → a storage that is read later."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[2], str):
            raise Damaged("it refers to something other than numbers")
        key, count = pid[2], pid[4]
        if key not in storages:
            storages[key] = _storage(archive, key, pid[1], count, swapped)
        return storages[key]

    pickled = archive.bytes("data.pkl")
    return Unpickler(Window(io.BytesIO(pickled)), build, persistent).load()


def _storage(archive: Archive, key: str, kind: object, count: object, swapped: bool) -> Storage | UnreadableTensor:
    dtype = storage_dtype(kind)
    if dtype is None:
        return UnreadableTensor(_UNQUANTIZED)
    if type(count) is not int or not 0 <= count < 1 << 48:
        raise Damaged("a storage has an impossible size")

    if archive.has(f"data/{key}") and archive.size(f"data/{key}") != count * dtype.itemsize:
        raise Damaged("a storage has not as many numbers as it says")
    return Storage(dtype, count, lambda target: archive.read(f"data/{key}", target), swapped)


def _is_little_endian(archive: Archive) -> bool:
    return not archive.has("byteorder") or archive.bytes("byteorder") != b"big"


def _what_it_is(names: list[str], path: Path) -> str:
    if names and all(name.endswith(".npy") for name in names):
        return (
            'is an .npz archive of NumPy arrays. Write it as safetensors: python -c "import numpy, '
            f"safetensors.numpy as s; s.save_file(dict(numpy.load({path.name!r})), 'weights.safetensors')\""
        )
    if any(
        name.endswith(("serialized_exported_program.json", "archive_format")) or "/models/" in name for name in names
    ):
        return (
            "is a program of torch.export, not weights alone. Take the weights out of it where it may run: "
            f"python -c \"import torch; torch.save(torch.export.load({path.name!r}).state_dict, 'weights.pth')\""
        )
    inside = next((name for name in names if name.endswith((".pth", ".pt", ".pkl", ".safetensors"))), None)
    if inside is not None:
        return f"is a ZIP archive that holds {inside[-60:]!r}. Unpack it, and give that file"
    return "is a ZIP archive without a checkpoint in it"


def _check_directory(file: BinaryIO) -> None:
    """Check that the list of records is of a size that a checkpoint can have, before it is read.

    Raises:
        Damaged: it is not, or there is none.
    """
    size = file.seek(0, io.SEEK_END)
    tail = min(size, 22 + (1 << 16))
    file.seek(size - tail)
    end = file.read(tail)
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or len(end) - at < 22:
        raise Damaged("its end is missing")
    (length,) = struct.unpack_from("<I", end, at + 12)
    if length == 0xFFFFFFFF:
        at = end.rfind(b"PK\x06\x06")
        if at < 0 or len(end) - at < 56:
            raise Damaged("its end is missing")
        (length,) = struct.unpack_from("<Q", end, at + 40)
    if length > _LARGEST_DIRECTORY:
        raise Damaged("it has more records than any checkpoint")
