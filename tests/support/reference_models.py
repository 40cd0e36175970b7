"""Reference models as maskrt loads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .references import ReferenceModel, full_reference_model

Load = Callable[[str], Any]


def source_options(model: ReferenceModel, folder: Path) -> Any:
    """The options of a user who has the checkpoint and, for detectron2, its config; files are made in `folder`."""
    from maskrt.options import SourceOptions

    checkpoint = model.write_checkpoint(folder)
    return SourceOptions(str(checkpoint), config=model.config if model.framework == "detectron2" else None)


def load_reference(name: str, folder: Path) -> Any:
    """The `SourceModel` of a reference model."""
    from maskrt.export.families.base import load_source

    return load_source(source_options(full_reference_model(name), folder))
