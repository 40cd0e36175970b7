"""The files that checkpoints come in: ZIP archives and streams of PyTorch, plain pickles, and what is none of them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO, Literal

from maskrt.export.checkpoints import archive, stream
from maskrt.export.checkpoints.errors import CheckpointError, Damaged
from maskrt.export.checkpoints.files import Window

Container = Literal["torch zip", "torch stream", "pickle", "safetensors"]

_SAVE_STATE_DICT = "torch.save(model.state_dict(), 'weights.pth')"

_OTHER_FILES = {
    b"\x1f\x8b": "is compressed with gzip. Unpack it: gunzip FILE",
    b"BZh": "is compressed with bzip2. Unpack it: bunzip2 FILE",
    b"\xfd7zXZ\x00": "is compressed with xz. Unpack it: unxz FILE",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard. Unpack it: unzstd FILE",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive. Unpack it",
    b"Rar!": "is a RAR archive. Unpack it",
    b"\x89HDF": "is an HDF5 file, as Keras and Matterport's Mask R-CNN write it; their networks are others",
    b"\x93NUMPY": f"is a single NumPy array. Save all weights with their names: {_SAVE_STATE_DICT}",
    b"version https://git-lfs": "is the pointer that Git LFS leaves in place of a file. Fetch the file: git lfs pull",
    b"<!DOCTYPE": "is a web page, not a file of weights: the download has failed. Download it again",
    b"<!doctype": "is a web page, not a file of weights: the download has failed. Download it again",
    b"<html": "is a web page, not a file of weights: the download has failed. Download it again",
    b"<?xml": "is XML. Give the file with the weights (.pth, .pkl, .safetensors)",
    b"GGUF": "is a GGUF file of a language model",
}
"""First bytes → what such a file is, and what to do."""


_TEXTS = (".json", ".yaml", ".yml", ".py", ".txt", ".md")


def sniff(file: BinaryIO, path: Path) -> Container:
    """Tell by its first bytes what a file is.

    Raises:
        CheckpointError: it is of no kind that can be read.
    """
    head = file.read(512)
    for magic, what in _OTHER_FILES.items():
        if head.startswith(magic):
            raise CheckpointError(f"{path} {what}.")
    if head[257:262] == b"ustar":
        raise CheckpointError(f"{path} is a tar archive. Unpack it, and give the file with the weights.")
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if path.suffix == ".safetensors" or (head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27):
        return "safetensors"
    if any(magic in head[:40] for magic in stream.MAGIC):
        return "torch stream"
    if path.suffix == ".onnx":
        raise CheckpointError(f"{path} is an ONNX file. Give the checkpoint that it was exported from.")
    if path.suffix in _TEXTS:
        raise CheckpointError(f"{path} is a text, not a file of weights. Give the .pth, .pkl or .safetensors file.")
    return "pickle"


def read_object(file: BinaryIO, path: Path, container: Container) -> object:
    """Return the object in a file of PyTorch or of pickle; its tensors are read later.

    Raises:
        CheckpointError: the file is damaged, or is no checkpoint.
    """
    try:
        if container == "torch zip":
            return archive.read_archive(file, path)
        file.seek(0)
        return stream.read_stream(Window(file)) if container == "torch stream" else stream.read_pickle(Window(file))
    except (Damaged, ValueError, OverflowError, RecursionError, MemoryError, zipfile.BadZipFile, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> CheckpointError:
    """Return the sentence about a file that does not hold what its kind of file has to."""
    reason = str(error) if isinstance(error, Damaged) else type(error).__name__
    return CheckpointError(
        f"Cannot read the checkpoint {path}: it is damaged, or is no checkpoint ({reason}). Expected a file of "
        f"{_SAVE_STATE_DICT}, a detectron2 .pth or .pkl, an mmdetection .pth, or .safetensors; copy or download it "
        "again."
    )
