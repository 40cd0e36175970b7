"""Reading the metadata of an ONNX file without loading it, and telling a whole file from a damaged one.

An ONNX file is one protobuf message, `ModelProto`. Only its outermost fields are visited: the graph with its
weights is stepped over. ONNX Runtime would report some damage as "protobuf parsing failed", after reading everything;
a changed byte among the weights it would not notice at all. So maskrt seals its files: one metadata entry,
`maskrt.sha256`, is the SHA-256 of all outermost fields but itself, in their order in the file.
"""

import hashlib
import json
import mmap
from pathlib import Path

from maskrt.contract.graph_limits import check_graph
from maskrt.contract.protobuf import Damaged, fields
from maskrt.errors import ModelError

SEAL = "maskrt.sha256"
"""The metadata entry that seals a file; like the others, its value is JSON."""

_IR_VERSION, _GRAPH, _METADATA_PROPS = 1, 7, 14  # field numbers of ModelProto
_KEY, _VALUE = 1, 2  # field numbers of StringStringEntryProto


def sealed(content: bytes) -> bytes:
    """Return the content of an ONNX file with the seal that `read_metadata_properties` checks.

    Args:
        content: a serialized `ModelProto` that has no seal.
    """
    key, text = SEAL.encode(), json.dumps(hashlib.sha256(content).hexdigest()).encode()
    # All lengths are below 128 and so one byte; the low bits 2 of a tag say that a length follows.
    entry = bytes([_KEY << 3 | 2, len(key)]) + key + bytes([_VALUE << 3 | 2, len(text)]) + text
    return content + bytes([_METADATA_PROPS << 3 | 2, len(entry)]) + entry


def read_metadata_properties(path: Path) -> dict[str, str]:
    """Read the `metadata_props` of an ONNX file, but for its seal, which is checked where it has one.

    Raises:
        ModelError: the file is missing, empty, cut off, not ONNX, not as it was when it was sealed, or no graph that
            can be loaded in a bearable time.
    """
    try:
        if not path.exists():
            raise ModelError(f"{path}: there is no such file. `maskrt export` or `make export` writes one.")
        if not path.is_file():
            raise ModelError(f"{path} is not a file.")
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"{path} is empty (0 bytes).")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _metadata_properties(data, path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None


def _metadata_properties(data: mmap.mmap, path: Path) -> dict[str, str]:
    properties = {}
    seen = set()
    digest, seal = hashlib.sha256(), None
    begin = 0
    try:
        for field, start, end in fields(data, 0, len(data)):
            seen.add(field)
            key = value = ""
            if field == _METADATA_PROPS:
                entry = {number: data[a:b].decode() for number, a, b in fields(data, start, end)}
                key, value = entry.get(_KEY, ""), entry.get(_VALUE, "")
                properties[key] = value
            if key == SEAL:
                seal = properties.pop(key)
            else:
                with memoryview(data) as view:
                    digest.update(view[begin:end])
            begin = end
    except (Damaged, UnicodeDecodeError):
        if _IR_VERSION not in seen:
            raise ModelError(f"{path} is not an ONNX file.") from None
        raise ModelError(f"{path} is damaged or cut off after {len(data):,} bytes. Copy or export it again.") from None
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise ModelError(f"{path} is not an ONNX file, or is cut off before its graph.")
    if seal not in (None, json.dumps(digest.hexdigest())):
        raise ModelError(
            f"{path} is damaged or was changed after maskrt wrote it: its SHA-256 is not the one that it states. Copy "
            f"or export it again; if the change is meant, remove the file's metadata entry {SEAL}."
        )
    check_graph(data, path)
    return properties
