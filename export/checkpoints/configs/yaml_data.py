"""YAML as plain data: tags of Python objects are never followed, and a small file cannot become a large value."""

from __future__ import annotations

from typing import Any

from maskrt.errors import DependencyError
from maskrt.export.checkpoints.configs.base import Unknown
from maskrt.export.checkpoints.errors import ConfigError

_MOST_VALUES = 100_000
_DEEPEST = 40


def parse_yaml(text: str, source: str) -> Any:
    """Dictionaries, lists, texts and numbers; `!!python/tuple` is a list, and any other tag an `Unknown`.

    Raises:
        ConfigError: it is no YAML, or references in it multiply to more than 100,000 values.
        DependencyError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise DependencyError(
            f"Reading {source} needs the package PyYAML. Install it: pip install 'maskrt[export]'."
        ) from error

    class Loader(yaml.SafeLoader):
        """PyYAML's safe loader with the tags of Python as data."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Merge `<<` as PyYAML does, unless merges of merges multiply."""
            super().flatten_mapping(node)
            if len(node.value) > _MOST_VALUES:
                raise ConfigError(_too_much(source))

    def construct_tuple(loader: yaml.SafeLoader, node: yaml.Node) -> object:
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return Unknown(node.tag)

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", construct_tuple)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
    Loader.add_constructor(None, lambda loader, node: Unknown(node.tag.rpartition(":")[2]))
    try:
        return _Copier(source).copy(yaml.load(text, Loader), 0)  # a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise ConfigError(
            f"Cannot read the config {source}: it is no YAML{where}. Give detectron2's config.yaml."
        ) from error
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
        raise ConfigError(
            f"Cannot read the config {source}: a value in it cannot be read ({type(error).__name__}). Give "
            "detectron2's config.yaml."
        ) from error


def _too_much(source: str) -> str:
    return f"Cannot read the config {source}: references in it multiply to more than {_MOST_VALUES} values."


class _Copier:
    """Follows references (`&` and `*`), so that every value is a copy of its own."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._left = _MOST_VALUES

    def copy(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise ConfigError(_too_much(self._source))
        if isinstance(value, dict):
            return {str(key): self.copy(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.copy(each, depth + 1) for each in value]
        if value is None or isinstance(value, bool | int | float | str | Unknown):
            return value
        return str(value)
