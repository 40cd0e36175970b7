"""Finds the weights in what a checkpoint holds: the state dict among optimizer, scheduler and settings.

The rule: the first of `WEIGHT_KEYS` that leads to tensors, to any depth; else the first of `AVERAGED_KEYS`; else the
mapping itself, if tensors are in it; else the only other mapping that has some. Where there are averaged weights beside
the model's own, the model's own are taken, as `evaluate` of the frameworks does, and a note says so. A key that the
user names (`--checkpoint-key`) comes before all rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from maskrt.export.checkpoints.errors import SUPPORTED, CheckpointError, shown
from maskrt.export.checkpoints.values import Inert, Mapping, PickledArray, StoredTensor, UnreadableTensor

Lazy = StoredTensor | UnreadableTensor

WEIGHT_KEYS = (
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model_weights",
    "modelState",
    "net",
    "network",
    "net_state_dict",
    "weights",
    "params",
    "module",
    "detector",
    "blobs",
)
"""Where training loops put the weights: detectron2 and torchvision, mmdetection and Lightning, PyTorch's tutorial, …;
`blobs` is Detectron's."""
AVERAGED_KEYS = (
    "ema_state_dict",
    "model_ema",
    "ema_model",
    "ema",
    "ema_state",
    "state_dict_ema",
    "model_ema_state_dict",
    "averaged_model",
    "swa_state_dict",
    "swa_model",
)
"""Where they put averages of the weights over the training (EMA, SWA)."""

_NOT_WEIGHTS = re.compile(
    r"optim|sched|scaler|message_hub|loss|criterion|discriminator|callback|buffer|(?:^|_)(?:amp|rng)(?:_|$)",
    re.IGNORECASE,
)
_OTHER_MODELS = (
    ("ultralytics.", "a YOLO model of Ultralytics"),
    ("models.yolo", "a YOLOv5 model of Ultralytics"),
    ("transformers.", "a model of Hugging Face Transformers"),
)
"""Beginnings of the modules of pickled models that are of no supported network."""
_DEEPEST = 8
_ROOTS = ("backbone", "rpn", "roi_heads", "proposal_generator", "neck", "rpn_head", "roi_head")


@dataclass(frozen=True)
class Found:
    """The weights in a file.

    Attributes:
        path: the keys that lead to them.
        tensors: by name, not read yet.
        versions: of the modules that were saved, by name, where PyTorch recorded them.
        beside: what is no weight, by key, from the outermost mapping inwards.
        notes: sentences about what was chosen.
        prefix: what is left of the key that was asked for: these words begin the names of the weights.
    """

    path: tuple[str, ...]
    tensors: dict[str, Lazy]
    versions: dict[str, int]
    beside: dict[str, object]
    notes: tuple[str, ...]
    prefix: str | None = None


def find_weights(content: object, file: Path, key: str | None = None) -> Found:
    """Find the weights in what was read from `file`.

    Args:
        content: what was read.
        file: where from, for the messages.
        key: of the weights that are wanted, keys in keys with dots between them; None: by the rule above.

    Raises:
        CheckpointError: there are none, several that nothing tells apart, or a whole pickled model.
    """
    notes: list[str] = []
    beside: dict[str, object] = {}
    path: tuple[str, ...] = ()
    mapping = _as_mapping(content)
    if mapping is None:
        _refuse_module(content, path, file)
        raise CheckpointError(f"{file} holds no state dict, but {_kind(content)}. {_EXPECTED}")
    words = [] if key is None else key.split(".")
    while True:
        if words and words[0] in mapping and _has_tensors(mapping[words[0]]):
            into: str | None = words.pop(0)
        else:
            into = _next_key(mapping, path, file, notes)
        beside.update({str(name): value for name, value in mapping.items() if name != into and not _is_tensor(value)})
        if into is None:
            break
        path = (*path, into)
        inner = _as_mapping(mapping[into])
        assert inner is not None
        mapping = inner
    tensors: dict[str, Lazy] = {}
    for name, value in _flat(mapping).items():
        if isinstance(value, PickledArray):
            value = value.tensor()
        if isinstance(value, StoredTensor | UnreadableTensor):
            tensors[name] = value
    return Found(path, tensors, _versions(mapping), beside, tuple(notes), ".".join(words) if words else None)


_EXPECTED = "Expected a dictionary of tensors, alone or under a key such as 'model' or 'state_dict'."


def _next_key(mapping: dict[object, object], path: tuple[str, ...], file: Path, notes: list[str]) -> str | None:
    """Return the key under which the weights are; None: they are in `mapping` itself."""
    if len(path) == _DEEPEST:
        raise CheckpointError(f"{file} holds dictionaries in dictionaries without weights. {_EXPECTED}")
    own = [key for key in WEIGHT_KEYS if _leads_to_tensors(mapping.get(key))]
    averaged = [key for key in AVERAGED_KEYS if _leads_to_tensors(mapping.get(key))]
    for chosen in (own, averaged):
        if chosen:
            others = [key for key in (*own, *averaged) if key != chosen[0] and mapping[key] is not mapping[chosen[0]]]
            if others:
                notes.append(_other_weights(mapping, file, (*path, chosen[0]), (*path, others[0])))
            return chosen[0]
    if any(_is_tensor(value) for value in mapping.values()) or _is_in_parts(mapping):
        return None
    for key in (*WEIGHT_KEYS, *AVERAGED_KEYS):
        _refuse_module(mapping.get(key), (*path, key), file)
    others = [
        str(key)
        for key, value in mapping.items()
        if isinstance(key, str) and not _NOT_WEIGHTS.search(key) and _has_tensors(value)
    ]
    if len(others) == 1:
        notes.append(f"The weights of {file} were found under {shown(others[0])}.")
        return others[0]
    if others:
        raise CheckpointError(
            f"{file} holds several sets of weights: {', '.join(map(shown, others[:4]))}. Name one of them: "
            f"--checkpoint-key {'.'.join((*path, others[0]))}."
        )
    for name, value in mapping.items():
        _refuse_module(value, (*path, str(name)), file)
    keys = ", ".join(shown(key) for key in list(mapping)[:4]) or "nothing"
    raise CheckpointError(f"{file} holds no state dict (it has {keys}). {_EXPECTED}")


def _is_tensor(value: object) -> bool:
    return isinstance(value, StoredTensor | UnreadableTensor | PickledArray)


def _as_mapping(value: object) -> dict[object, object] | None:
    """Return the items of a dictionary, of an object of a class that extends one, or of the only one in a list."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if isinstance(value, Inert) and not _is_module(value):
        if value.items:
            return value.items
        inner = value.attributes().get("data")  # collections.UserDict
        return inner if isinstance(inner, dict) else None
    return None


def _leads_to_tensors(value: object, depth: int = 0) -> bool:
    """Whether there are tensors in a mapping, or in one of the usual keys in it."""
    mapping = _as_mapping(value)
    if mapping is None or depth == _DEEPEST:
        return False
    if any(_is_tensor(each) for each in mapping.values()) or _is_in_parts(mapping):
        return True
    return any(_leads_to_tensors(mapping.get(key), depth + 1) for key in (*WEIGHT_KEYS, *AVERAGED_KEYS))


def _has_tensors(value: object) -> bool:
    """Whether there are tensors in a mapping, or in mappings in it whose keys do not say what else they are."""
    level, seen = [value], set[int]()
    for _ in range(_DEEPEST):
        inner: list[object] = []
        for each in level:
            mapping = _as_mapping(each)
            if mapping is None or id(mapping) in seen:  # references to references would be followed without end
                continue
            seen.add(id(mapping))
            if any(map(_is_tensor, mapping.values())) or _is_in_parts(mapping):
                return True
            inner += [part for key, part in mapping.items() if isinstance(key, str) and not _NOT_WEIGHTS.search(key)]
        level = inner
    return False


def _is_in_parts(mapping: dict[object, object]) -> bool:
    """Whether a detector was saved part by part: `{"backbone": state dict, "rpn": state dict, …}`."""
    parts = [_as_mapping(mapping.get(root)) for root in _ROOTS]
    return sum(part is not None and any(map(_is_tensor, part.values())) for part in parts) > 1


def _flat(mapping: dict[object, object]) -> dict[str, object]:
    if not _is_in_parts(mapping):
        return {name: value for name, value in mapping.items() if isinstance(name, str)}
    flat: dict[str, object] = {}
    for name, part in mapping.items():
        inner = _as_mapping(part)
        flat.update({f"{name}.{key}": value for key, value in inner.items()} if inner else {str(name): part})
    return flat


def _versions(mapping: dict[object, object]) -> dict[str, int]:
    """PyTorch's `state_dict._metadata`: version of each module's state, by the module's name."""
    metadata = mapping.attributes.get("_metadata") if isinstance(mapping, Mapping) else None
    if not isinstance(metadata, dict):
        return {}
    versions = {}
    for module, entry in metadata.items():
        version = entry.get("version") if isinstance(entry, dict) else None
        if isinstance(module, str) and type(version) is int:
            versions[module] = version
    return versions


def _is_module(value: object) -> bool:
    """Whether an object is a `torch.nn.Module`, going by what PyTorch keeps in one."""
    return isinstance(value, Inert) and {"_parameters", "_modules"} <= value.attributes().keys()


def _refuse_module(value: object, path: tuple[str, ...], file: Path) -> None:
    if not _is_module(value):
        return
    assert isinstance(value, Inert)
    other = next((name for module, name in _OTHER_MODELS if value.symbol.module.startswith(module)), None)
    if other is not None:
        raise CheckpointError(f"{file} holds {other}, which cannot be exported. Expected one of: {SUPPORTED}.")
    place = "".join(f"[{key!r}]" for key in path)
    raise CheckpointError(
        f"{file} holds a whole pickled model ({shown(str(value.symbol))[1:-1]}), which could run anything when it is "
        f'loaded. Save its weights alone, where you trust it and its code is installed: python -c "import torch; '
        f"torch.save(torch.load({file.name!r}, map_location='cpu', weights_only=False){place}.state_dict(), "
        "'weights.pth')\"."
    )


def _other_weights(mapping: dict[object, object], file: Path, chosen: tuple[str, ...], other: tuple[str, ...]) -> str:
    # mmengine's EMAHook exchanges the two when it saves, so that the averaged ones are what is loaded.
    which = ", the averaged ones," if other[-1] == "ema_state_dict" and "message_hub" in mapping else ""
    return (
        f"{file} holds weights under {shown('.'.join(chosen))}, which{which} are used, and under "
        f"{shown('.'.join(other))}. To use the others, give --checkpoint-key {'.'.join(other)}."
    )


def _kind(content: object) -> str:
    if isinstance(content, Inert):
        return f"an object of {shown(str(content.symbol))}"
    if _is_tensor(content):
        return "a single tensor"
    return f"a {type(content).__name__}"
