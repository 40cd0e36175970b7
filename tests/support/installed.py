"""Makes the stand-ins of `tests/support/frameworks` importable, as if the frameworks were installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .golden import decode_masks
from .references import ReferenceModel, picture

_FOLDER = Path(__file__).parent / "frameworks"
_MODULES = ("recorded", "detectron2", "mmdet", "mmengine")

Install = Callable[..., Any]


@contextmanager
def installed_frameworks() -> Iterator[Install]:
    """`install(model, pictures)`: the frameworks know its tensors and what it finds in these pictures.

    It returns the module of its framework that keeps the configs, `MADE`.
    """
    sys.path.insert(0, str(_FOLDER))
    try:
        yield _install
    finally:
        sys.path.remove(str(_FOLDER))
        for name in [name for name in sys.modules if name.partition(".")[0] in _MODULES]:
            del sys.modules[name]


def _install(model: ReferenceModel, pictures: tuple[str, ...]) -> Any:
    recorded = import_module("recorded")
    recorded.TENSORS.update({name: value for name, value in model.state().items() if _is_weight(name)})
    for name in pictures:
        golden = model.golden(name)
        found = {key: golden[key] for key in ("boxes", "scores", "classes")}
        if "rle_counts" in golden:
            found["masks"] = decode_masks(golden)
        recorded.FINDINGS[np.ascontiguousarray(picture(name)[:, :, ::-1]).tobytes()] = found
    return import_module("detectron2.engine" if model.framework == "detectron2" else "mmdet.apis")


def _is_weight(name: str) -> bool:
    """Not what a framework recomputes."""
    return not name.startswith(("pixel_", "proposal_generator.anchor_generator"))
