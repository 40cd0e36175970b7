"""detectron2's YAML configs: `cfg.dump()`, those of its repository with `_BASE_`, and LayoutParser's.

The rules are those of detectron2 (`config/config.py`, `config/compat.py`), fvcore (`_BASE_`) and yacs (texts that are
Python literals, types that must fit), but for one: a tag that would run code is never followed.
"""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.export.checkpoints.configs.base import Config, Unknown, read_text
from maskrt.export.checkpoints.configs.detectron2_defaults import (
    DEFAULTS,
    ELEMENTS,
    LENGTHS,
    RANGES,
    RENAMED,
    TRAINING_ONLY,
)
from maskrt.export.checkpoints.configs.yaml_data import parse_yaml
from maskrt.export.checkpoints.errors import ConfigError, shown
from maskrt.export.checkpoints.zoo.detectron2 import BASES, MODELS, Differences, ZooModel, find_base

_ARCHITECTURE = "GeneralizedRCNN"
_BASE_KEY = "_BASE_"
_DEEPEST = 20
_LONGEST_LITERAL = 10_000
_SHOWN = 3
"""How many of the names that detectron2 does not have a note tells."""


@dataclass(frozen=True)
class Detectron2Config(Config):
    """A config of detectron2; `values` has every key of `DEFAULTS`, of the right type.

    Attributes:
        given: dotted names that the files say; the others have detectron2's defaults.
        unknown: dotted names that detectron2 does not have: of a project that extends it.
    """

    given: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


def read_detectron2_config(path: Path) -> Detectron2Config:
    """Read a YAML config with the files that it is based on.

    A base that is not beside it is taken from what is known of detectron2's own configs; a note says so.

    Raises:
        ConfigError: a file is missing or no YAML, a value has the wrong type, it is a LazyConfig, or the config of
            another network.
    """
    path = Path(path)
    notes: list[str] = []
    return _complete(_read(path, (), notes), str(path), notes)


def zoo_config(name: str) -> Detectron2Config:
    """Return the config of a model of detectron2's zoo, for example `COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x`.

    Raises:
        KeyError: `zoo.detectron2.MODELS` has no such model.
    """
    return _complete(_nested(MODELS[name]), f"detectron2:{name}", [])


def _complete(said: dict[str, Any], source: str, notes: list[str]) -> Detectron2Config:
    """Fill what the files say up with the defaults, and check it."""
    said = _of_version_2(said, source, notes)
    model = said.get("MODEL")
    architecture = model.get("META_ARCHITECTURE", _ARCHITECTURE) if isinstance(model, dict) else _ARCHITECTURE
    if architecture != _ARCHITECTURE:
        raise ConfigError(
            f"{source} is the config of another network: its MODEL.META_ARCHITECTURE is {shown(architecture)}. "
            f"Expected {_ARCHITECTURE}, which Faster, Mask, Keypoint and Cascade R-CNN have."
        )
    values = copy.deepcopy(DEFAULTS)
    given: set[str] = set()
    unknown: list[str] = []
    _merge_checked(said, values, "", source, given, unknown)
    unknown.sort()
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        names = ", ".join(map(shown, unknown[:_SHOWN]))
        notes.append(f"{source} has entries that detectron2 does not know, which were left out: {names}{more}.")
    return Detectron2Config(source, values, tuple(notes), frozenset(given), tuple(unknown))


# ---- files ----


def _read(path: Path, chain: tuple[Path, ...], notes: list[str]) -> dict[str, Any]:
    """Return what a file and its bases say."""
    if path.suffix == ".py":
        raise ConfigError(
            f"{path} is a LazyConfig of detectron2, a program. Write its settings as YAML: the keys of config.yaml, on "
            "top of _BASE_: Base-RCNN-FPN.yaml."
        )
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"Cannot read the config {path}: {error}.") from error
    if resolved in chain or len(chain) == _DEEPEST:
        raise ConfigError(f"Cannot read the config {chain[0]}: its _BASE_ leads back to itself, at {path}.")
    said = parse_yaml(read_text(path), str(path))
    if not isinstance(said, dict):
        raise ConfigError(f"Cannot read the config {path}: it is no mapping of keys. Give detectron2's config.yaml.")
    if isinstance(said.get("model"), dict) and "MODEL" not in said:
        raise ConfigError(
            f"{path} is the dump of a LazyConfig. Write its settings with the keys of detectron2's config.yaml, on top "
            "of _BASE_: Base-RCNN-FPN.yaml."
        )
    if _BASE_KEY not in said:
        return said
    merged = _read_base(said.pop(_BASE_KEY), path, (*chain, resolved), notes)
    _merge(said, merged, path)
    return merged


def _read_base(name: object, path: Path, chain: tuple[Path, ...], notes: list[str]) -> dict[str, Any]:
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"Cannot read the config {path}: its _BASE_ is {shown(name)}, expected the name of a file.")
    base = Path(name).expanduser() if name.startswith("~") else path.parent / name
    known = find_base(name)
    if "://" not in name and (base.is_file() or known is None):
        if not base.exists():
            raise ConfigError(
                f"Cannot read the config {path}: its _BASE_ {shown(name)} is not there. Put {base} there, or give the "
                "config.yaml that training wrote into its output folder, which is complete."
            )
        return _read(base, chain, notes)
    if known is None:
        raise ConfigError(
            f"Cannot read the config {path}: its _BASE_ {shown(name)} is not a file. Download it, and say where it is "
            "beside this config."
        )
    notes.append(f"The _BASE_ {shown(name)} of {path} is not there; detectron2's own config of that name was taken.")
    return _nested(known)


def _nested(model: ZooModel) -> dict[str, Any]:
    """Return what a config of detectron2's repository says, with its base."""
    nested: dict[str, Any] = {}
    layers: tuple[Differences, ...] = (*BASES[model.base], *model.differences)
    for differences in layers:
        for name, value in differences.items():
            _set(nested, name, copy.deepcopy(value))
    return nested


def _set(nested: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for key in parents:
        nested = nested.setdefault(key, {})
    nested[last] = value


def _merge(child: Mapping[str, Any], base: dict[str, Any], path: Path) -> None:
    """Write what a file says over its base, key by key."""
    for key, value in child.items():
        if isinstance(value, dict) and key in base:
            if not isinstance(base[key], dict):
                raise ConfigError(
                    f"Cannot read the config {path}: its base says {shown(key)} as a value, it as a group."
                )
            _merge(value, base[key], path)
        else:
            base[key] = value


# ---- versions ----


def _of_version_2(said: dict[str, Any], source: str, notes: list[str]) -> dict[str, Any]:
    version = said.get("VERSION")
    if version is None:
        model, test = said.get("MODEL"), said.get("TEST")
        is_old = (isinstance(model, dict) and "WEIGHT" in model) or (isinstance(test, dict) and "AUG_ON" in test)
        version = 1 if is_old else 2
    if type(version) is not int or not 0 <= version <= 2:
        raise ConfigError(f"{source} is of version {shown(version)}; expected 2, which detectron2 has had since 2019.")
    if version < 2:
        for old, new in RENAMED.items():
            parent, _, last = old.rpartition(".")
            group = _group(said, parent)
            if group is not None and last in group:
                _move(said, group, last, new, source)
        said["VERSION"] = 2
        notes.append(f"{source} is a config of version {version}; its keys were renamed to those of version 2.")
    return said


def _group(said: Any, name: str) -> dict[str, Any] | None:
    for key in name.split("."):
        said = said.get(key) if isinstance(said, dict) else None
    return said if isinstance(said, dict) else None


def _move(said: dict[str, Any], group: dict[str, Any], last: str, new: str, source: str) -> None:
    parent: Any = said
    *keys, name = new.split(".")
    for key in keys:
        parent = parent.setdefault(key, {})
        if not isinstance(parent, dict):
            raise ConfigError(f"{source} says {key} as a value; expected a group of keys.")
    parent[name] = group.pop(last)


# ---- values ----


def _merge_checked(
    said: Mapping[str, Any],
    values: dict[str, Any],
    prefix: str,
    source: str,
    given: set[str],
    unknown: list[str],
) -> None:
    for key, value in said.items():
        name = f"{prefix}{key}"
        if name in TRAINING_ONLY:
            values[key] = value
        elif key not in values:
            unknown.append(name)
            values[key] = value
        elif isinstance(values[key], dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{source} says {name} as {shown(value)}; expected a group of keys.")
            _merge_checked(value, values[key], f"{name}.", source, given, unknown)
        else:
            values[key] = _checked(_decoded(value), values[key], name, source)
            given.add(name)


def _decoded(value: Any) -> Any:
    """Return what a text stands for that is a Python literal, as in yacs: `(60000, 80000)` is no list in YAML."""
    if not isinstance(value, str) or len(value) > _LONGEST_LITERAL:
        return value
    try:
        return _listed(ast.literal_eval(value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(each) for each in value]
    return value


def _checked(value: Any, default: Any, name: str, source: str) -> Any:
    """Return a value of the default's type; yacs takes no other, too."""
    if isinstance(value, Unknown):
        raise ConfigError(
            f"{source} gives {name} with the YAML tag {shown(value.text)}, which would run code. Write its value there."
        )
    if isinstance(default, list):
        kind = ELEMENTS.get(name) or type(_first(default))
        nested = bool(default) and isinstance(default[0], list)
        checked = _checked_list(value, kind, nested, name, source)
        _check_lengths(checked, nested, name, source)
        return checked
    if value is None and isinstance(default, str):
        return ""
    return _checked_scalar(value, type(default), name, source)


def _checked_list(value: Any, kind: type, nested: bool, name: str, source: str) -> list[Any]:
    if isinstance(value, str) and kind is str:
        value = [value]
    if not isinstance(value, list):
        raise ConfigError(f"{source} says {name} as {shown(value)}; expected a list.")
    if not nested:
        return [_checked_scalar(each, kind, name, source) for each in value]
    if value and not isinstance(value[0], list):
        value = [value]  # one list for all feature maps
    return [_checked_list(each, kind, False, name, source) for each in value]


def _check_lengths(value: list[Any], nested: bool, name: str, source: str) -> None:
    lists = value if nested else [value]
    length = LENGTHS.get(name)
    if nested and (not value or not all(value)):
        raise ConfigError(f"{source} says {name} as an empty list.")
    for each in lists:
        if length is not None and len(each) != length:
            raise ConfigError(f"{source} says {name} as {shown(each)}; expected {length} numbers.")


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _checked_scalar(value: Any, kind: type, name: str, source: str) -> Any:
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise ConfigError(f"{source} says {name} as {shown(value)}; expected {_KINDS[kind]}.")
    if kind in (int, float):
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if not low <= value <= high or not math.isfinite(value):
            raise ConfigError(f"{source} says {name} as {shown(value)}; expected a number from {low:g} to {high:g}.")
    return value


def _first(values: list[Any]) -> Any:
    return _first(values[0]) if values and isinstance(values[0], list) else values[0]
