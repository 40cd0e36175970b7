"""mmengine's configs."""

from __future__ import annotations

from typing import Any


class ConfigDict(dict):
    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"'ConfigDict' object has no attribute '{name}'")
        return self[name]


def _of(value: Any) -> Any:
    if isinstance(value, dict):
        return ConfigDict({key: _of(each) for key, each in value.items()})
    return [_of(each) for each in value] if isinstance(value, list) else value


class Config:
    def __init__(self, cfg_dict: dict[str, Any] | None = None) -> None:
        if not isinstance(cfg_dict, dict):
            raise TypeError(f"cfg_dict must be a dict, but got {type(cfg_dict)}")
        self._values = _of(cfg_dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._values, name)
