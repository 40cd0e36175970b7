"""Opcode by opcode: what a pickle is read as, and what small files cannot make of themselves."""

import io
import pickle
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.export.checkpoints import CheckpointError, read_checkpoint, unpickler
from maskrt.export.checkpoints.builders import build
from maskrt.export.checkpoints.errors import Damaged
from maskrt.export.checkpoints.files import Window
from maskrt.export.checkpoints.plain import to_plain
from maskrt.export.checkpoints.unpickler import Unpickler
from maskrt.export.checkpoints.values import Blob, Inert, Symbol

from .saving import write


def load(data: bytes) -> object:
    return Unpickler(Window(io.BytesIO(data)), build).load()


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    255,
    65535,
    -1,
    2**31,
    -(2**70),
    10**400,
    1.5,
    float("inf"),
    "text",
    "ÿ€𐍈\n\\'\"",
    "\ud800",
    b"bytes\x00\xff",
    bytearray(b"xy"),
    "a" * 300,
    b"a" * 300,
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [],
    [1, [2, [3]]],
    {},
    {"a": {"b": (1, [None])}, 1: 2, None: 3, (1, "x"): 4},
]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_what_pickle_makes_of_them(protocol: int) -> None:
    for value in VALUES:
        read = load(pickle.dumps(value, protocol))
        assert read == value, (protocol, value)
        assert type(read) is type(value) or isinstance(value, bytearray)


@pytest.mark.parametrize("protocol", range(6))
def test_sets_are_lists(protocol: int) -> None:
    assert sorted(load(pickle.dumps({3, 1, 2}, protocol))) == [1, 2, 3]  # type: ignore[type-var]
    assert sorted(load(pickle.dumps(frozenset((1, 2)), protocol))) == [1, 2]  # type: ignore[type-var]


@pytest.mark.parametrize("protocol", range(6))
def test_references_and_loops(protocol: int) -> None:
    shared: list[Any] = [1]
    loop: list[Any] = []
    loop.append(loop)
    read = load(pickle.dumps([shared, shared, loop], protocol))
    assert isinstance(read, list)
    assert read[0] is read[1]
    assert read[2][0] is read[2]
    plain = to_plain(read)
    assert plain[:2] == [[1], [1]]


def test_strings_of_python_2_are_latin_1() -> None:
    assert load(b"S'a\\xe9\\n'\n.") == "aé\n"
    assert load(b"U\x02\xe9b.") == "éb"
    assert load(b"I01\n.") is True
    assert load(b"L12L\n.") == 12


def test_long_bytes_and_texts_stay_in_the_file() -> None:
    long = unpickler.LONGEST_IN_MEMORY + 1
    for value in (b"\xff" * long, "é" * long):
        read = load(pickle.dumps(value, 4))
        assert isinstance(read, Blob)
        assert (read.data() if isinstance(value, bytes) else read.text()) == value
    read = load(pickle.dumps(bytes(long), 2))  # protocol 2 writes bytes as text
    assert isinstance(read, Blob)
    assert read.data() == bytes(long)


class Thing:
    """Pickled by its name."""

    def __init__(self) -> None:
        self.a = [1]


@pytest.mark.parametrize("protocol", range(6))
def test_objects_are_inert(protocol: int) -> None:
    read = load(pickle.dumps(Thing(), protocol))
    assert isinstance(read, Inert)
    assert read.symbol == Symbol(Thing.__module__, "Thing")
    assert to_plain(read) == {"a": [1]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"(.",
        b"0.",
        b"2.",
        b"t.",
        b"a.",
        b"]a.",
        b"K\x01K\x02a.",
        b"(K\x01u.",
        b"}(K\x01u.",
        b"}]K\x01s.",
        b"}}K\x01s.",
        b"h\x05.",
        b"g7\n.",
        b"gx\n.",
        b"R.",
        b"K\x01)R.",
        b"cos\nsystem\nK\x01R.",
        b"b.",
        b"Q.",
        b"Px\n.",
        b"\x93.",
        b"K\x01K\x02\x93.",
        b"\x97.",
        b"\x98.",
        b"\xff.",
        b"cos",
        b"Inot a number\n.",
        b"Fnot a number\n.",
        b"S'no end.",
        b"Sno quotes\n.",
        b"S'\\xzz'\n.",
        b"X\x03\x00\x00\x00\xff\xff\xff.",
        b"X\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\xffabc.",
        b"\x8e" + b"\xff" * 8 + b".",
        b"\x96" + struct.pack("<Q", 1 << 62) + b".",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"(i.",
        b"(K\x01o.",
        b"o.",
        b"}(K\x01K\x02K\x03u.",
        b"L" + b"9" * 5000 + b"\n.",
    ],
)
def test_nonsense_ends_in_a_sentence(data: bytes, tmp_path: Path) -> None:
    with pytest.raises((Damaged, ValueError)):
        load(data)
    if data:
        with pytest.raises(CheckpointError, match="is damaged, or is no checkpoint"):
            read_checkpoint(write(tmp_path / "mine.pkl", data))


def nested_key() -> bytes:
    """A dictionary whose key is a tuple in a tuple, 100,000 times: hashing it overflows the stack."""
    return b"}" + b")" + b"\x85" * 100_000 + b"Ns."


def laughs() -> bytes:
    """2**40 references to one list."""
    doubled = b"".join(b"]\x94(h" + bytes([n]) + b"h" + bytes([n]) + b"e0" for n in range(40))
    return b"\x80\x04]\x940" + doubled + b"h\x28."


BOMBS = {
    "a nested key": nested_key(),
    "nested lists": b"]" * 200_000 + b"a" * 199_999 + b".",
    "nested tuples": b")" + b"\x85" * 300_000 + b".",
    "references of references": b"}X\x04\x00\x00\x00meta" + laughs()[2:-1] + b"s.",
    "a place in the memo": b"Nr\xff\xff\xff\xff.",
    "a place in the memo, decimal": b"Np" + b"9" * 4000 + b"\n.",
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "a million marks": b"(" * 1_000_000 + b"t.",
    "opcodes without end": b"N0" * 3_000_000 + b".",
    "zeros by their number": b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "a range": b"cbuiltins\nlist\ncbuiltins\nrange\nJ\xff\xff\xff\x7f\x85R\x85R.",
    "a repeated list": b"coperator\nmul\n]K\x01aJ\xff\xff\xff\x7f\x86R.",
    "an empty array of terabytes": b"cnumpy\nndarray\n(\x8a\x06\x00\x00\x00\x00\x00\x10tR.",
    "a tensor of nothing": b"}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n)R"
    b"(K\x01(\x8a\x06\x00\x00\x00\x00\x00\x10tcnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x00tbs.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_take_no_memory(bomb: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.pkl", BOMBS[bomb])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"mine\.pkl"):
        read_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def test_what_lies_beside_may_be_a_bomb(tmp_path: Path) -> None:
    """It is left out, and the weights are read."""
    weights = pickle.dumps({"backbone.weight": np.ones(3)}, 3)[2:-1]
    content = b"\x80\x04}(X\x01\x00\x00\x00m" + laughs()[2:-1] + b"X\x05\x00\x00\x00model" + weights + b"u."
    read = read_checkpoint(write(tmp_path / "mine.pkl", content))
    assert list(read.tensors) == ["backbone.weight"]
    assert read.meta == {"m": None}
