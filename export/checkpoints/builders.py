"""What the classes and functions in checkpoints stand for: PyTorch's and NumPy's arrays, and the plain containers.

Each is a function of ours over checked values; a name that is not here gives an `Inert` object.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from maskrt.export.checkpoints.errors import Damaged
from maskrt.export.checkpoints.values import (
    Blob,
    Inert,
    Mapping,
    PickledArray,
    PickledDtype,
    Storage,
    StoredTensor,
    Symbol,
    UnreadableTensor,
    checked_sizes,
)

Args = tuple[object, ...]

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
}
"""PyTorch's classes of storages, and of what numbers they are; those of quantized numbers are not read."""

_QUANTIZED = "it is quantized; save the weights before quantization, or model.dequantize() them"
_SHARDED = "it is one part of a sharded tensor (FSDP, DTensor); gather the full state dict and save that"


def build(symbol: Symbol, args: Args, kwargs: dict[object, object]) -> object:
    """Return the value of a class or function that a pickle calls.

    Raises:
        Damaged: a tensor or an array is described wrongly.
    """
    builder = _BUILDERS.get((symbol.module, symbol.name))
    if builder is None or kwargs:
        return Inert(symbol, args, kwargs)
    made = builder(args)
    return Inert(symbol, args) if made is None else made


def storage_dtype(symbol: object) -> torch.dtype | None:
    """Return the numbers of a storage class; None: it is none of `STORAGES`."""
    return STORAGES.get(symbol.name) if isinstance(symbol, Symbol) and symbol.module.startswith("torch") else None


# ---- tensors ----


def _tensor(args: Args, dtype: torch.dtype | None) -> object:
    """Return a tensor of its storage, offset, sizes and strides."""
    storage, offset, shape, strides = args[:4]
    if isinstance(storage, UnreadableTensor):
        return storage
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise Damaged("a tensor has no storage")
    sizes, steps = checked_sizes(shape), checked_sizes(strides)
    if len(sizes) != len(steps):
        raise Damaged("a tensor has not as many strides as sizes")
    return StoredTensor(storage, offset, sizes, steps, dtype or storage.dtype)


def _rebuild_tensor(args: Args) -> object:
    if len(args) < 4:
        raise Damaged("a tensor is described wrongly")
    metadata = args[6] if len(args) > 6 else None
    if isinstance(metadata, dict) and any(metadata.get(flag) for flag in ("conj", "neg")):
        return UnreadableTensor("it is conjugated or negated only when it is read; save tensor.resolve_neg()")
    return _tensor(args, None)


def _rebuild_tensor_v3(args: Args) -> object:
    if len(args) < 7:
        raise Damaged("a tensor is described wrongly")
    dtype = getattr(torch, args[6].name, None) if isinstance(args[6], Symbol) and args[6].module == "torch" else None
    if not isinstance(dtype, torch.dtype):
        return UnreadableTensor("its numbers are of a type that PyTorch does not have here")
    return _tensor(args, dtype)


def _rebuild_parameter(args: Args) -> object:
    return args[0] if args and isinstance(args[0], StoredTensor | UnreadableTensor) else None


def _rebuild_from_type(args: Args) -> object:
    """Return a subclass of Tensor, as a tensor: (function, class, its arguments, attributes)."""
    if len(args) < 3 or not isinstance(args[0], Symbol) or not isinstance(args[2], tuple):
        return None
    if (args[0].module, args[0].name) == ("torch._tensor", "_rebuild_from_type_v2"):
        return None  # no tensor is such a class of such a class
    made = build(args[0], args[2], {})
    return made if isinstance(made, StoredTensor | UnreadableTensor) else None


def _rebuild_from_numpy(args: Args) -> object:
    return args[0].tensor() if args and isinstance(args[0], PickledArray) else None


def _unreadable(why: str) -> Callable[[Args], object]:
    return lambda args: UnreadableTensor(why)


def _joblib(args: Args) -> object:
    """Return an array of joblib: its numbers follow in the middle of the pickle, where opcodes are expected."""
    raise Damaged("joblib wrote it, in a format of its own; write safetensors.torch.save_file(weights, FILE) instead")


# ---- NumPy ----


def _dtype(args: Args) -> object:
    return PickledDtype(args[0]) if args and isinstance(args[0], str) else None


def _array(args: Args) -> object:
    """`_reconstruct(ndarray, (0,), b"b")`: empty, and filled by its state."""
    return PickledArray()


def _array_from_buffer(args: Args) -> object:
    """Protocol 5: the bytes, the type, the shape and the order of dimensions."""
    if len(args) < 3:
        raise Damaged("a NumPy array is described wrongly")
    fortran = len(args) > 3 and args[3] == "F"
    return PickledArray(checked_sizes(args[2]), args[1], fortran, args[0])


def _scalar(args: Args) -> object:
    """Return a NumPy number, as Python's."""
    if len(args) != 2 or not isinstance(args[0], PickledDtype):
        return None
    dtype, data = args[0].numpy(), args[1]
    raw = data.encode("latin-1") if isinstance(data, str) else data
    if dtype is None or not isinstance(raw, bytes) or len(raw) != dtype.itemsize:
        return None
    return np.frombuffer(raw, dtype)[0].item()


# ---- plain values ----


def _mapping(args: Args) -> object:
    """`OrderedDict()`, of pairs in Python 2; `defaultdict(factory)`; `Counter(mapping)`."""
    made = Mapping()
    for arg in args:
        if isinstance(arg, dict):
            made.update(arg)
        elif isinstance(arg, list | tuple):
            made.update(_pairs(arg))
    return made


def _pairs(values: list[object] | tuple[object, ...]) -> list[tuple[str, object]]:
    return [
        (pair[0], pair[1])
        for pair in values
        if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
    ]


def _sequence(kind: type[list[object]] | type[tuple[object, ...]]) -> Callable[[Args], object]:
    return lambda args: kind(args[0]) if args and isinstance(args[0], list | tuple) else kind()


def _encode(args: Args) -> object:
    """`_codecs.encode(text, "latin1")`: how protocol 2 writes bytes."""
    if len(args) == 2 and args[1] in ("latin1", "latin-1"):
        if isinstance(args[0], str):
            return args[0].encode("latin-1")
        if isinstance(args[0], Blob):
            return args[0]  # `Blob.data` does it
    return None


def _bytes(args: Args) -> object:
    """Bytes of bytes, or of a text and its encoding; a number would ask for as many zeros."""
    if not args:
        return b""
    return args[0] if isinstance(args[0], bytes | Blob) else _encode(args)


def _path(args: Args) -> object:
    return "/".join(part for part in args if isinstance(part, str)).replace("//", "/")


def _called(args: Args) -> object:
    """`copyreg.__newobj__(class, …)`: what the protocols before 2 write for an object."""
    return build(args[0], args[1:], {}) if args and isinstance(args[0], Symbol) else None


def _reconstructed(args: Args) -> object:
    """`copyreg._reconstructor(class, base, state)`: the same, for classes without a constructor."""
    return Inert(args[0], args[1:]) if args and isinstance(args[0], Symbol) else None


_BUILDERS: dict[tuple[str, str], Callable[[Args], object]] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _rebuild_from_numpy,
    ("torch._utils", "_rebuild_xla_tensor"): _rebuild_from_numpy,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _unreadable(
        "it is on PyTorch's device 'meta' and has no values"
    ),
    ("torch._utils", "_rebuild_qtensor"): _unreadable(_QUANTIZED),
    ("torch._utils", "_rebuild_sparse_tensor"): _unreadable("it is sparse; save tensor.to_dense()"),
    ("torch._utils", "_rebuild_sparse_csr_tensor"): _unreadable("it is sparse; save tensor.to_dense()"),
    ("torch._utils", "_rebuild_nested_tensor"): _unreadable("it is a nested tensor, which no layer here has"),
    ("torch._utils", "_rebuild_wrapper_subclass"): _unreadable(_SHARDED),
    ("torch.distributed.tensor", "DTensor"): _unreadable(_SHARDED),
    ("torch.distributed._shard.sharded_tensor.api", "ShardedTensor"): _unreadable(_SHARDED),
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _joblib,
    ("torch", "Size"): _sequence(tuple),
    ("torch", "device"): lambda args: args[0] if args and isinstance(args[0], str) else None,
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): _mapping,
    ("collections", "Counter"): _mapping,
    ("collections", "deque"): _sequence(list),
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("pathlib", "PosixPath"): _path,
    ("pathlib", "WindowsPath"): _path,
    ("pathlib", "PurePosixPath"): _path,
    ("pathlib", "Path"): _path,
    ("pathlib._local", "PosixPath"): _path,
}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _BUILDERS[f"{_core}.multiarray", "_reconstruct"] = _array
    _BUILDERS[f"{_core}.multiarray", "scalar"] = _scalar
    _BUILDERS[f"{_core}.numeric", "_frombuffer"] = _array_from_buffer
for _builtins in ("builtins", "__builtin__"):  # Python 3 and 2
    _BUILDERS[_builtins, "dict"] = _mapping
    _BUILDERS[_builtins, "list"] = _BUILDERS[_builtins, "set"] = _BUILDERS[_builtins, "frozenset"] = _sequence(list)
    _BUILDERS[_builtins, "tuple"] = _sequence(tuple)
    _BUILDERS[_builtins, "bytes"] = _BUILDERS[_builtins, "bytearray"] = _bytes
for _copyreg in ("copyreg", "copy_reg"):
    _BUILDERS[_copyreg, "_reconstructor"] = _reconstructed
    _BUILDERS[_copyreg, "__newobj__"] = _called
