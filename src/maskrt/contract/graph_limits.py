"""What a graph may be, so that no file keeps a command busy for minutes, or reads other files.

ONNX lets a graph of a few kilobytes stand for millions of operators (functions that call functions), and weights lie in
any file that can be named. Inference engines and `onnx` follow both. A file that maskrt wrote has some thousand
operators, a few functions that call each other once, and all of its weights in itself.
"""

import mmap
from collections import Counter
from pathlib import Path

from maskrt.contract.protobuf import Damaged, fields
from maskrt.errors import ModelError

MAX_OPERATORS = 100_000
"""In a graph, with what its functions stand for."""

# Field numbers of onnx.proto.
_GRAPH, _FUNCTIONS = 7, 25  # ModelProto
_NODE, _INITIALIZER = 1, 5  # GraphProto
_OP_TYPE, _ATTRIBUTE, _DOMAIN = 4, 5, 7  # NodeProto
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS = 5, 6, 10, 11  # AttributeProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # TensorProto
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DOMAIN = 1, 7, 10  # FunctionProto

_LARGE = 1 << 16  # bytes of a node that may hold a graph of its own
_DEEPEST = 50

_Data = mmap.mmap | bytes
_Name = tuple[bytes, bytes]  # domain, name


class _TooMuch(Exception):
    """The graph has more operators than any model."""


def check_graph(data: _Data, path: Path) -> None:
    """Check the graph of an ONNX file without loading it.

    Args:
        data: the file, a message of which the outermost fields are sound.
        path: for the message.

    Raises:
        ModelError: it stands for more than `MAX_OPERATORS`, or its weights lie in other files.
    """
    try:
        graphs = [(start, end) for field, start, end in fields(data, 0, len(data)) if field == _GRAPH]
        bodies = [(start, end) for field, start, end in fields(data, 0, len(data)) if field == _FUNCTIONS]
        names, called = Counter[_Name](), Counter[_Name]()
        functions: dict[_Name, Counter[_Name]] = {}
        external = data.find(b"location") >= 0  # the key under which the name of the other file stands
        for start, end in graphs:
            called += _calls(data, start, end, _NODE, 0)
            if external and _has_external_data(data, start, end, 0):
                raise ModelError(
                    f"{path} keeps weights in other files, which no file of maskrt does. Export it again with "
                    "`maskrt export`."
                )
        for start, end in bodies:
            name = {
                field: data[a:b]
                for field, a, b in fields(data, start, end)
                if field in (_FUNCTION_NAME, _FUNCTION_DOMAIN)
            }
            key = name.get(_FUNCTION_DOMAIN, b""), name.get(_FUNCTION_NAME, b"")
            names[key] += 1
            functions[key] = _calls(data, start, end, _FUNCTION_NODE, 0)
        total = _expanded(called, functions, {}, 0)
        if total > MAX_OPERATORS or sum(names.values()) > MAX_OPERATORS:
            raise _TooMuch
    except (_TooMuch, RecursionError):
        raise ModelError(
            f"{path} stands for more than {MAX_OPERATORS:,} operators; a model that maskrt exports has some thousand. "
            "Export it again with `maskrt export`."
        ) from None
    except Damaged:
        raise ModelError(f"{path} is damaged: its graph is no ONNX. Copy or export it again.") from None


def _calls(data: _Data, start: int, end: int, node_field: int, depth: int) -> Counter[_Name]:
    """Count the operators of a graph or function, with those of the graphs inside, by domain and name."""
    if depth > _DEEPEST:
        raise _TooMuch
    found: Counter[_Name] = Counter()
    number = 0
    for field, a, b in fields(data, start, end):
        if field != node_field:
            continue
        number += 1
        if number > MAX_OPERATORS:
            raise _TooMuch
        domain = name = b""
        for part, c, d in fields(data, a, b):
            if part == _OP_TYPE:
                name = data[c:d]
            elif part == _DOMAIN:
                domain = data[c:d]
            elif part == _ATTRIBUTE and d - c > _LARGE:
                for inner, e, f in fields(data, c, d):
                    if inner in (_SUBGRAPH, _SUBGRAPHS):
                        found += _calls(data, e, f, _NODE, depth + 1)
        found[domain, name] += 1
    return found


def _expanded(
    calls: Counter[_Name], functions: dict[_Name, Counter[_Name]], known: dict[_Name, int], depth: int
) -> int:
    """Count the operators that calls stand for, functions replaced by their bodies."""
    if depth > _DEEPEST:  # a function that calls itself, or a chain that no model has
        raise _TooMuch
    total = 0
    for name, number in calls.items():
        if name not in functions:
            total += number
            continue
        if name not in known:
            known[name] = _expanded(functions[name], functions, known, depth + 1)
        total += number * known[name]
    return total


def _has_external_data(data: _Data, start: int, end: int, depth: int) -> bool:
    """Tell whether a tensor of a graph, or of an attribute, lies in another file."""
    if depth > _DEEPEST:
        raise _TooMuch
    for field, a, b in fields(data, start, end):
        if field == _INITIALIZER and _is_external(data, a, b):
            return True
        if field != _NODE:
            continue
        for part, c, d in fields(data, a, b):
            if part != _ATTRIBUTE:
                continue
            for inner, e, f in fields(data, c, d):
                if inner in (_TENSOR, _TENSORS) and _is_external(data, e, f):
                    return True
                if inner in (_SUBGRAPH, _SUBGRAPHS) and _has_external_data(data, e, f, depth + 1):
                    return True
    return False


def _is_external(data: _Data, start: int, end: int) -> bool:
    return any(
        field == _EXTERNAL_DATA or (field == _DATA_LOCATION and data[a:b] == b"\x01")
        for field, a, b in fields(data, start, end)
    )
