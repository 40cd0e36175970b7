"""Pickles that try to run code: nothing runs, nothing is imported; a sentence or plain data comes of them."""

import codecs
import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrt.export.checkpoints import Checkpoint, CheckpointError, read_checkpoint

_events: list[str] | None = None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _events is not None and event in _FORBIDDEN:
        _events.append(f"{event} {arguments!r:.80}")


_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.putenv",
    "os.remove",
    "subprocess.Popen",
    "exec",
    "compile",
    "import",
    "pickle.find_class",
    "socket.connect",
    "ctypes.dlopen",
    "shutil.rmtree",
)
sys.addaudithook(_watch)
for _codec in ("cp437", "raw_unicode_escape"):  # Python imports these when they are first needed
    codecs.lookup(_codec)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fails if Python reports, meanwhile, that code is compiled, imported or run, or a process started."""
    global _events
    _events = []
    try:
        yield
        assert not _events
    finally:
        _events = None


COMMAND = "touch hostile-was-run"
CODE = "open('hostile-was-run', 'w')"


def text(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + b"(" + b"".join(arguments) + b"tR"


def reduced(function: Any, *arguments: Any) -> bytes:
    class Hostile:
        def __reduce__(self) -> Any:
            return function, arguments

    return pickle.dumps(Hostile(), 2)[2:-1]


SYSTEM = name("os", "system")
TENSOR_OF = name("torch._utils", "_rebuild_tensor_v2")
ARRAY = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85", b"C\x01b")

ATTACKS: dict[str, bytes] = {
    "os.system through __reduce__": reduced(__import__("os").system, COMMAND),
    "posix.system": call(name("posix", "system"), text(COMMAND)),
    "nt.system": call(name("nt", "system"), text(COMMAND)),
    "STACK_GLOBAL": call(stack_name("os", "system"), text(COMMAND)),
    "names put together on the stack": call(text("o" + "s") + text("system") + b"\x93", text(COMMAND)),
    "INST": b"(" + text(COMMAND) + b"ios\nsystem\n",
    "OBJ": b"(" + SYSTEM + text(COMMAND) + b"o",
    "NEWOBJ": name("subprocess", "Popen") + b"(" + text(COMMAND) + b"t\x81",
    "NEWOBJ_EX": name("subprocess", "Popen") + b"(" + text(COMMAND) + b"t}" + text("shell") + b"\x88s\x92",
    "BUILD of a class": name("torch._utils", "_rebuild_tensor_v2") + b"}" + text("__code__") + text("x") + b"sb",
    "BUILD with slots": name("os", "environ") + b"N}" + text("PATH") + text("/tmp") + b"s\x86b",
    "__setstate__ of a class": name("os", "system") + b")\x81" + text(COMMAND) + b"b",
    "eval": call(name("builtins", "eval"), text(CODE)),
    "exec": call(name("builtins", "exec"), text(CODE)),
    "exec of Python 2": call(name("__builtin__", "execfile"), text("hostile.py")),
    "getattr": call(call(name("builtins", "getattr"), name("os", "path"), text("os")), text(COMMAND)),
    "getattr of getattr": call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("system")),
        text(COMMAND),
    ),
    "__import__": call(name("builtins", "__import__"), text("this")),
    "importlib": call(name("importlib", "import_module"), text("antigravity")),
    "runpy": call(name("runpy", "run_path"), text("hostile.py")),
    "operator.attrgetter": call(call(name("operator", "attrgetter"), text("system")), name("os", "path")),
    "operator.methodcaller": call(
        call(name("operator", "methodcaller"), text("system"), text(COMMAND)), name("os", "x")
    ),
    "functools.partial": call(call(name("functools", "partial"), SYSTEM, text(COMMAND))),
    "map": call(name("builtins", "list"), call(name("builtins", "map"), SYSTEM, b"]" + text(COMMAND) + b"a")),
    "copyreg.__newobj__": call(name("copyreg", "__newobj__"), name("subprocess", "Popen"), text(COMMAND)),
    "copyreg._reconstructor": call(
        name("copyreg", "_reconstructor"), name("subprocess", "Popen"), name("builtins", "object"), b"N"
    ),
    "copyreg.add_extension": call(name("copyreg", "add_extension"), text("os"), text("system"), b"K\x01")
    + b"0\x82\x01",
    "an extension": b"\x82\x01(" + text(COMMAND) + b"tR",
    "a code object": call(name("types", "CodeType"), b"K\x00"),
    "a function": call(name("types", "FunctionType"), b"N", b"}"),
    "a nested pickle": call(
        name("pickle", "loads"), b"C" + bytes([len(COMMAND) + 20]) + b"cos\nsystem\n(S'" + COMMAND.encode() + b"'\ntR."
    ),
    "torch.load": call(name("torch", "load"), text("other.pth")),
    "torch.storage._load_from_bytes": call(
        name("torch.storage", "_load_from_bytes"),
        b"C\x20" + b"\x80\x02cos\nsystem\nX\x03\x00\x00\x00abc\x85R.".ljust(32, b"."),
    ),
    "torch.hub": call(name("torch.hub", "load"), text("a/b"), text("c")),
    "torch.ops.load_library": call(name("torch.ops", "load_library"), text("hostile.so")),
    "_rebuild_tensor_v2 of a call": call(TENSOR_OF, call(SYSTEM, text(COMMAND)), b"K\x00", b")", b")"),
    "_rebuild_from_type_v2": call(
        name("torch._tensor", "_rebuild_from_type_v2"), SYSTEM, name("torch", "Tensor"), text(COMMAND) + b"\x85", b"}"
    ),
    "_rebuild_from_type_v2 of itself": call(
        name("torch._tensor", "_rebuild_from_type_v2"),
        name("torch._tensor", "_rebuild_from_type_v2"),
        name("os", "system"),
        b"(" + SYSTEM + name("torch", "Tensor") + text(COMMAND) + b"\x85}t",
        b"}",
    ),
    "torch._utils._rebuild_wrapper_subclass": call(name("torch._utils", "_rebuild_wrapper_subclass"), SYSTEM),
    "numpy.load": call(name("numpy", "load"), text("hostile.npy"), b"N", b"\x88"),
    "numpy.testing": call(name("numpy.testing._private.utils", "runstring"), text(CODE), b"}"),
    "numpy.distutils": call(name("numpy.distutils.exec_command", "exec_command"), text(COMMAND)),
    "an array of objects": ARRAY
    + b"(K\x01K\x01\x85"
    + call(name("numpy", "dtype"), text("O8"), b"\x89", b"\x88")
    + b"\x89]"
    + call(SYSTEM, text(COMMAND))
    + b"atb",
    "a dtype of objects": call(name("numpy", "dtype"), call(SYSTEM, text(COMMAND))),
    "webbrowser": call(name("webbrowser", "open"), text("http://localhost")),
    "pty.spawn": call(name("pty", "spawn"), text("sh")),
    "timeit": call(name("timeit", "timeit"), text(CODE)),
    "a defaultdict's factory": call(name("collections", "defaultdict"), SYSTEM) + text("missing") + b"Ns",
    "sorted by a key": call(name("builtins", "sorted"), b"]" + text(COMMAND) + b"a", SYSTEM),
    "sys.modules": call(name("builtins", "setattr"), name("sys", "modules"), text("os"), b"N"),
    "a dotted name": call(stack_name("builtins", "__loader__.load_module"), text("os")),
    "__class__ of a builtin": call(stack_name("builtins", "print.__self__.eval"), text(CODE)),
    "a name with a line feed": call(stack_name("os\nsystem", "path\nx"), text(COMMAND)),
    "a module of the current folder": call(name("hostile", "run")),
}

_WEIGHTS = {"backbone.weight": np.zeros(2, np.float32), "rpn.weight": np.ones(1, np.float32)}


def a_dictionary(attack: bytes, weights: bytes) -> bytes:
    """A pickle of a checkpoint with the attack beside the weights."""
    return b"\x80\x04}(" + text("beside") + attack + text("model") + weights + b"u."


def files(attack: bytes, folder: Path) -> Iterator[Path]:
    """The attack in each kind of file, alone, beside the weights, and in place of one of them."""
    arrays = pickle.dumps(_WEIGHTS, 3)[2:-1]
    for number, content in enumerate(
        (
            b"\x80\x04" + attack + b".",
            a_dictionary(attack, arrays),
            b"\x80\x04}" + text("backbone.weight") + attack + b"s.",
        )
    ):
        path = folder / f"{number}.pkl"
        path.write_bytes(content)
        yield path
    tensors = {key: torch.from_numpy(value) for key, value in _WEIGHTS.items()}
    zipped = io.BytesIO()
    torch.save({"model": tensors, "beside": "PLACE"}, zipped)
    path = folder / "zip.pth"
    with zipfile.ZipFile(zipped) as old, zipfile.ZipFile(path, "w") as new:
        for record in old.namelist():
            data = old.read(record)
            new.writestr(record, in_place(data, attack) if record.endswith("data.pkl") else data)
    yield path
    streamed = io.BytesIO()
    torch.save({"model": tensors, "beside": "PLACE"}, streamed, _use_new_zipfile_serialization=False)
    path = folder / "stream.pth"
    path.write_bytes(in_place(streamed.getvalue(), attack))
    yield path


def in_place(data: bytes, attack: bytes) -> bytes:
    marker = b"X" + struct.pack("<I", 5) + b"PLACE"
    assert data.count(marker) == 1
    return data.replace(marker, attack)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the attacks leave their file, and where a module of theirs can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hostile.py").write_text(CODE)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_run(attack: str, tmp_path: Path) -> None:
    for path in files(ATTACKS[attack], tmp_path):
        result: Checkpoint | str
        with nothing_runs():
            try:
                result = read_checkpoint(path)
            except CheckpointError as error:
                result = str(error)
        if isinstance(result, str):
            assert path.name in result
            assert result.endswith(".")
        else:
            assert all(type(tensor) is torch.Tensor for tensor in result.tensors.values())
            assert_plain(result.meta)
    assert not (tmp_path / "hostile-was-run").exists()


def assert_plain(value: object) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            assert key is None or type(key) in (str, int, float, bool)
            assert_plain(each)
    elif isinstance(value, list):
        for each in value:
            assert_plain(each)
    else:
        assert value is None or type(value) in (str, int, float, bool)


def test_the_weights_beside_an_attack_are_read(tmp_path: Path) -> None:
    """All but those whose opcodes are wrong in themselves; so the attacks above were really followed."""
    read = 0
    for attack in ATTACKS.values():
        path = tmp_path / "beside.pkl"
        path.write_bytes(a_dictionary(attack, pickle.dumps(_WEIGHTS, 3)[2:-1]))
        try:
            assert set(read_checkpoint(path).tensors) == set(_WEIGHTS)
            read += 1
        except CheckpointError:
            pass
    assert read >= 45


@pytest.mark.parametrize("attack", ["os.system through __reduce__", "posix.system", "OBJ", "exec", "STACK_GLOBAL"])
def test_the_attacks_work_on_those_who_run_them(attack: str, tmp_path: Path) -> None:
    pickle.loads(b"\x80\x04" + ATTACKS[attack] + b".")
    assert (tmp_path / "hostile-was-run").exists()
