"""mmdetection's configs: the text in a checkpoint's `meta`, or a dumped `.py`, read as literals and never run.

A dump of mmengine or mmcv (`cfg.dump()`, `cfg.pretty_text`) is a row of assignments of `dict(...)`, lists, tuples,
texts and numbers. What else is assigned (a call, arithmetic, an imported name) is kept as `Unknown`, and refused by
name where it is needed; what would change values that were assigned before is refused at once.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskrt.export.checkpoints.configs.base import Config, Unknown, read_text
from maskrt.export.checkpoints.errors import ConfigError, shown

_LARGEST = 4 << 20
_MOST_VALUES = 200_000
_DEEPEST = 60
_BASES = ("_base_", "_delete_")


def read_mmdet_config(path: Path) -> Config:
    """Read a dumped `.py` config.

    Raises:
        ConfigError: the file is missing, is no Python, or does more than assign values.
    """
    path = Path(path)
    return parse_mmdet_config(read_text(path, _LARGEST), str(path))


def mmdet_config(meta: Mapping[str, Any], source: str) -> Config | None:
    """Return the config in the checkpoint's own `meta`; None: there is none.

    Args:
        meta: of a `Checkpoint`.
        source: the checkpoint's name, for messages.

    Raises:
        ConfigError: the text does more than assign values.
    """
    inner = meta.get("meta")
    if not isinstance(inner, Mapping):
        return None
    for key in ("cfg", "config"):  # mmdetection 3; 2
        config = inner.get(key)
        if isinstance(config, str) and config.strip():
            return parse_mmdet_config(config, f"the config in {source}")
        values = _values_of(config)
        if values is not None:
            return Config(f"the config in {source}", values)
    return None


def _values_of(config: Any) -> Mapping[str, Any] | None:
    """Return what an object of mmengine's or mmcv's class Config holds, once it is plain data.

    Its dictionary is its `_cfg_dict`, or the first part of its state.
    """
    if isinstance(config, list) and config:
        config = config[0]
    if isinstance(config, Mapping):
        config = config.get("_cfg_dict", config)
    return config if isinstance(config, Mapping) and "model" in config else None


def class_names(meta: Mapping[str, Any]) -> list[str] | None:
    """Return the class names in the checkpoint's own `meta`; None: there are none."""
    inner = meta.get("meta")
    if not isinstance(inner, Mapping):
        return None
    dataset = inner.get("dataset_meta")  # mmdetection 3
    for names in (
        *((dataset.get("classes"), dataset.get("CLASSES")) if isinstance(dataset, Mapping) else ()),
        inner.get("CLASSES"),  # mmdetection 2
    ):
        if isinstance(names, str):
            return [names]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    return None


def parse_mmdet_config(text: str, source: str) -> Config:
    """Read the text of a config.

    Raises:
        ConfigError: it is no Python, or does more than assign values.
    """
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(f"Cannot read {source}: line {error.lineno} of it is no Python.") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise ConfigError(f"Cannot read {source}: it is no config ({type(error).__name__}).") from error
    try:
        values = _Assignments(text, source).read(module)
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"Cannot read {source}: it is nested too deeply, or has an impossible number.") from error
    return Config(source, values)


class _Assignments:
    """What the statements of a config assign, in their order."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._left = _MOST_VALUES
        self._values: dict[str, Any] = {}

    def read(self, module: ast.Module) -> dict[str, Any]:
        for statement in module.body:
            self._read(statement)
        return {name: value for name, value in self._values.items() if not name.startswith("__")}

    def _read(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value) if all(isinstance(each, ast.Name) for each in targets):
                for target in targets:
                    assert isinstance(target, ast.Name)
                    self._assign(target.id, value, statement)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                self._assign(name, value, statement)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for alias in names:
                    name = (alias.asname or alias.name).partition(".")[0]
                    if name == "*":
                        raise self._refusal(statement, "imports names that it does not say")
                    self._values[name] = Unknown(f"import {name}")
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.With():
                raise self._refusal(statement, "is based on other configs (read_base)")
            case _:
                raise self._refusal(statement, "does more than assign a value to a name")

    def _assign(self, name: str, value: ast.expr, statement: ast.stmt) -> None:
        if name in _BASES:
            raise self._refusal(statement, "is based on other configs (_base_)")
        self._values[name] = self._value(value, 0)

    def _refusal(self, statement: ast.stmt, what: str) -> ConfigError:
        return ConfigError(
            f"Cannot read {self._source}: line {statement.lineno} {what}, which only mmdetection follows. Give the "
            "checkpoint as training wrote it, whose meta has the whole config, or the config that training dumped "
            "into its work_dir (cfg.dump('config.py') in mmdetection)."
        )

    def _value(self, node: ast.expr, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise ConfigError(f"Cannot read {self._source}: it has more values than any config.")
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(
                value, bool
            ):
                return -value
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements) if not any(
                isinstance(each, ast.Starred) for each in elements
            ):
                return [self._value(each, depth + 1) for each in elements]
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values, node, depth)
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if "dict" not in self._values:
                return self._keywords(keywords, node, depth)
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value="inf" | "-inf" as text)], keywords=[]):
                return float(text)
            case ast.Name(id=name) if name in self._values:
                return self._copy(self._values[name], depth)
        return Unknown(ast.get_source_segment(self._text, node) or type(node).__name__)

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr], node: ast.expr, depth: int) -> Any:
        made: dict[str, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str | int):
                return Unknown(ast.get_source_segment(self._text, node) or "dict")
            made[self._checked_key(str(key.value), node)] = self._value(value, depth + 1)
        return made

    def _keywords(self, keywords: list[ast.keyword], node: ast.expr, depth: int) -> Any:
        made: dict[str, Any] = {}
        for keyword in keywords:
            if keyword.arg is None:
                return Unknown(ast.get_source_segment(self._text, node) or "dict")
            made[self._checked_key(keyword.arg, node)] = self._value(keyword.value, depth + 1)
        return made

    def _checked_key(self, key: str, node: ast.expr) -> str:
        if key in _BASES:
            raise ConfigError(
                f"Cannot read {self._source}: {shown(key)} in line {node.lineno} is for a config that is based on "
                "others. Give the checkpoint as training wrote it, or the dumped config."
            )
        return key

    def _copy(self, value: Any, depth: int) -> Any:
        """Return a value assigned before: a copy, so that references of references are counted."""
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise ConfigError(f"Cannot read {self._source}: it has more values than any config.")
        if isinstance(value, dict):
            return {key: self._copy(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list):
            return [self._copy(each, depth + 1) for each in value]
        return value
