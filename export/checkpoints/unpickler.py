"""Reads pickles as data: the opcodes are followed here, and nothing that a pickle names is imported or called.

`pickle.Unpickler` with a list of allowed names would still call them with whatever arguments a pickle likes, and still
set attributes of theirs. Here a name stays a `Symbol`; what it is to be called with goes to a table of builders of our
own, or into an `Inert` object. The opcodes and their arguments are those of the standard library's `pickletools`.
"""

from __future__ import annotations

import codecs
import pickletools
import struct
from collections.abc import Callable

from maskrt.export.checkpoints.errors import Damaged
from maskrt.export.checkpoints.files import Window
from maskrt.export.checkpoints.values import Blob, Inert, Mapping, PickledArray, PickledDtype, Symbol

Builder = Callable[[Symbol, tuple[object, ...], dict[object, object]], object]

LONGEST_IN_MEMORY = 1 << 16
"""Bytes and texts that are longer stay in the file until they are needed."""
MOST_OPCODES = 5_000_000
"""A checkpoint of a large model with its optimizer has some hundred thousand."""

_LENGTHS = {
    "SHORT_BINSTRING": "<B",
    "BINSTRING": "<i",
    "SHORT_BINBYTES": "<B",
    "BINBYTES": "<I",
    "BINBYTES8": "<Q",
    "BYTEARRAY8": "<Q",
    "SHORT_BINUNICODE": "<B",
    "BINUNICODE": "<I",
    "BINUNICODE8": "<Q",
    "LONG1": "<B",
    "LONG4": "<i",
}
_NUMBERS = {"BININT": "<i", "BININT1": "<B", "BININT2": "<H", "BINFLOAT": ">d"}
_INDICES = {"BINGET": "<B", "LONG_BINGET": "<I", "BINPUT": "<B", "LONG_BINPUT": "<I"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SCALARS = (str, int, float, bool, bytes, type(None), Symbol)


class _Mark:
    """Where a run of arguments begins on the stack."""


_MARK = _Mark()


class Unpickler:
    """Reads one pickle.

    Args:
        window: where it begins; it is left behind the pickle's end.
        build: makes the value of a class or function and its arguments.
        persistent: makes the value of a persistent id; None: there must be none.
    """

    def __init__(self, window: Window, build: Builder, persistent: Callable[[object], object] | None = None) -> None:
        self._window = window
        self._build = build
        self._persistent = persistent
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def load(self) -> object:
        """Return the object.

        Raises:
            Damaged: this is no pickle, or not all of it is there.
        """
        window, methods = self._window, _METHODS
        for _ in range(MOST_OPCODES):
            opcode = window.read(1)
            if opcode == b".":
                return self._pop()
            name = methods.get(opcode)
            if name is None:
                raise Damaged(f"it is no pickle: there is no opcode {opcode!r}")
            argument, method = name
            method(self, argument)
        raise Damaged(f"it has more than {MOST_OPCODES} opcodes, which no checkpoint has")

    # ---- the stack ----

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise Damaged("it takes more values than it has")
        return self._stack.pop()

    def _top(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise Damaged("it takes more values than it has")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[object]:
        stack = self._stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                values = stack[index + 1 :]
                del stack[index:]
                return values
        raise Damaged("it takes more values than it has")

    # ---- values ----

    def _constant(self, name: str) -> None:
        self._stack.append(_CONSTANTS[name])

    def _number(self, layout: str) -> None:
        self._stack.append(struct.unpack(layout, self._window.read(struct.calcsize(layout)))[0])

    def _decimal(self, name: str) -> None:
        line = self._window.readline()
        if name == "FLOAT":
            self._stack.append(float(line))
        elif name == "INT" and line in (b"00", b"01"):
            self._stack.append(line == b"01")
        else:
            self._stack.append(int(line.removesuffix(b"L")))

    def _long(self, name: str) -> None:
        self._stack.append(int.from_bytes(self._window.read(self._length(name)), "little", signed=True))

    def _length(self, name: str) -> int:
        layout = _LENGTHS[name]
        return int(struct.unpack(layout, self._window.read(struct.calcsize(layout)))[0])

    def _bytes(self, name: str) -> None:
        """Bytes; the strings of Python 2 are text in Latin-1, which is what NumPy's own reader is told to take."""
        self._take(self._length(name), is_text="STRING" in name, encoding="latin-1")

    def _unicode(self, name: str) -> None:
        self._take(self._length(name), is_text=True, encoding="utf-8")

    def _take(self, length: int, *, is_text: bool, encoding: str) -> None:
        if length > LONGEST_IN_MEMORY:
            position = self._window.skip(length)
            self._stack.append(Blob(self._window.file, position, length, is_text, encoding))
            return
        data = self._window.read(length)
        self._stack.append(
            data.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict") if is_text else data
        )

    def _line(self, name: str) -> None:
        line = self._window.readline()
        if name == "UNICODE":
            self._stack.append(line.decode("raw-unicode-escape"))
            return
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
            raise Damaged("a string has no quotes")
        self._stack.append(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))

    # ---- containers ----

    def _mark(self, _: str) -> None:
        self._stack.append(_MARK)

    def _tuple(self, name: str) -> None:
        if name == "TUPLE":
            self._stack.append(tuple(self._pop_to_mark()))
        else:
            values = [self._pop() for _ in range(int(name[-1]))]
            self._stack.append(tuple(reversed(values)))

    def _empty(self, name: str) -> None:
        # A set stays a list: its elements need not be hashable for what is read here.
        self._stack.append({"EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}.get(name, list)())

    def _list(self, _: str) -> None:
        self._stack.append(self._pop_to_mark())

    def _dict(self, _: str) -> None:
        values = self._pop_to_mark()
        made: dict[object, object] = {}
        self._stack.append(made)
        self._set(values)

    def _append(self, name: str) -> None:
        values = [self._pop()] if name == "APPEND" else self._pop_to_mark()
        target = self._top()
        if isinstance(target, Inert):
            target.elements.extend(values)
        elif type(target) is list:
            target.extend(values)
        else:
            raise Damaged("it appends to what is no list")

    def _set_item(self, name: str) -> None:
        if name == "SETITEM":
            value, key = self._pop(), self._pop()
            self._set([key, value])
        else:
            self._set(self._pop_to_mark())

    def _set(self, values: list[object]) -> None:
        target = self._top()
        items = target.items if isinstance(target, Inert) else target
        if not isinstance(items, dict) or len(values) % 2:
            raise Damaged("it sets an item of what has none")
        for key, value in zip(values[::2], values[1::2], strict=True):
            items[_checked_key(key)] = value

    # ---- memo ----

    def _put(self, name: str) -> None:
        if name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        else:
            self._memo[self._index(name)] = self._top()

    def _get(self, name: str) -> None:
        index = self._index(name)
        if index not in self._memo:
            raise Damaged(f"it refers to a value {index} that it has not had")
        self._stack.append(self._memo[index])

    def _index(self, name: str) -> int:
        if name in ("GET", "PUT"):
            return int(self._window.readline())
        layout = _INDICES[name]
        return int(struct.unpack(layout, self._window.read(struct.calcsize(layout)))[0])

    # ---- what would be code ----

    def _global(self, name: str) -> None:
        if name == "GLOBAL":
            module, attribute = (self._window.readline().decode("utf-8") for _ in range(2))
        else:
            attribute, module = (_name(self._pop()) for _ in range(2))
        self._stack.append(Symbol(module, attribute))

    def _extension(self, name: str) -> None:
        width = int(name[-1])
        code = int.from_bytes(self._window.read(width), "little")
        self._stack.append(Symbol("copyreg", f"extension {code}"))

    def _call(self, name: str) -> None:
        """REDUCE, NEWOBJ: a callable and a tuple of arguments; NEWOBJ_EX: keywords, too."""
        kwargs = self._pop() if name == "NEWOBJ_EX" else {}
        args, target = self._pop(), self._pop()
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise Damaged("it calls something without arguments")
        self._make(target, args, kwargs)

    def _instance(self, name: str) -> None:
        """INST: a name in the opcode; OBJ: a class on the stack; arguments up to the mark."""
        if name == "INST":
            symbol: object = Symbol(*(self._window.readline().decode("utf-8") for _ in range(2)))
            args = self._pop_to_mark()
        else:
            symbol, *args = self._pop_to_mark() or [None]
        self._make(symbol, tuple(args), {})

    def _make(self, target: object, args: tuple[object, ...], kwargs: dict[object, object]) -> None:
        if isinstance(target, Inert):  # a method of it, or what a call gave
            target = target.symbol
        if not isinstance(target, Symbol):
            raise Damaged("it calls what is no class")
        self._stack.append(self._build(target, args, kwargs))

    def _set_state(self, _: str) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, PickledArray | PickledDtype):
            target.set_state(state)
        elif isinstance(target, Inert):
            target.state = state
        elif isinstance(target, Mapping):
            target.attributes = state if isinstance(state, dict) else {}
        # The state of anything else (a number, a name) would only change what is not read.

    def _persistent_id(self, name: str) -> None:
        pid = self._window.readline().decode("utf-8") if name == "PERSID" else self._pop()
        if self._persistent is None:
            raise Damaged("it refers to data outside of the file")
        self._stack.append(self._persistent(pid))

    # ---- the rest ----

    def _discard(self, name: str) -> None:
        if name == "POP" and self._stack and self._stack[-1] is not _MARK:
            self._stack.pop()
        elif name == "DUP":
            self._stack.append(self._top())
        else:
            self._pop_to_mark()

    def _ignore(self, name: str) -> None:
        """PROTO and FRAME say nothing that matters here."""
        self._window.read(1 if name == "PROTO" else 8)

    def _refuse(self, _: str) -> None:
        raise Damaged("parts of it were saved elsewhere (out-of-band buffers)")


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise Damaged("it names a class by what is no text")
    return value


def _checked_key(key: object) -> object:
    """Return a key whose hash takes no time and no stack: nested tuples could take both."""
    if type(key) in _SCALARS or (type(key) is tuple and all(type(part) in _SCALARS for part in key)):
        return key
    if getattr(type(key), "__eq__", None) is object.__eq__:  # compared by identity
        return key
    raise Damaged("a dictionary has a key that is no name and no number")


def _methods() -> dict[bytes, tuple[str, Callable[[Unpickler, str], None]]]:
    """Opcode → what its method is told, and the method."""
    by_name: dict[str, tuple[str, Callable[[Unpickler, str], None]]] = {}

    def add(method: Callable[[Unpickler, str], None], *names: str) -> None:
        by_name.update({name: (name, method) for name in names})

    add(Unpickler._constant, *_CONSTANTS)
    by_name.update({name: (layout, Unpickler._number) for name, layout in _NUMBERS.items()})
    add(Unpickler._decimal, "INT", "LONG", "FLOAT")
    add(Unpickler._long, "LONG1", "LONG4")
    add(Unpickler._bytes, "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
    add(Unpickler._unicode, "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
    add(Unpickler._line, "STRING", "UNICODE")
    add(Unpickler._mark, "MARK")
    add(Unpickler._tuple, "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
    add(Unpickler._empty, "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET")
    add(Unpickler._list, "LIST", "FROZENSET")
    add(Unpickler._dict, "DICT")
    add(Unpickler._append, "APPEND", "APPENDS", "ADDITEMS")
    add(Unpickler._set_item, "SETITEM", "SETITEMS")
    add(Unpickler._put, "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
    add(Unpickler._get, "GET", "BINGET", "LONG_BINGET")
    add(Unpickler._global, "GLOBAL", "STACK_GLOBAL")
    add(Unpickler._extension, "EXT1", "EXT2", "EXT4")
    add(Unpickler._call, "REDUCE", "NEWOBJ", "NEWOBJ_EX")
    add(Unpickler._instance, "INST", "OBJ")
    add(Unpickler._set_state, "BUILD")
    add(Unpickler._persistent_id, "PERSID", "BINPERSID")
    add(Unpickler._discard, "POP", "POP_MARK", "DUP")
    add(Unpickler._ignore, "PROTO", "FRAME")
    add(Unpickler._refuse, "NEXT_BUFFER", "READONLY_BUFFER")
    return {op.code.encode("latin-1"): by_name[op.name] for op in pickletools.opcodes if op.name != "STOP"}


_METHODS = _methods()
