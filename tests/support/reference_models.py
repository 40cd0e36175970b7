"""Reference models as maskrt loads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .references import ReferenceModel, full_reference_model

Load = Callable[[str], Any]

REFERENCE_FILE = "model.onnx"
"""What `export_reference` writes."""


def source_options(model: ReferenceModel, folder: Path) -> Any:
    """The options of a user who has the checkpoint, for detectron2 its config, and for the trained ones class names.

    Files are made in `folder`.
    """
    from maskrt.options import SourceOptions
    from maskrt.shapes.outlines import CLASS_NAMES

    names = None
    if "trained_shapes" in model.name:
        names = folder / "shapes.txt"
        names.write_text("\n".join(CLASS_NAMES), encoding="utf-8")
    config = model.config if model.framework == "detectron2" else None
    return SourceOptions(str(model.write_checkpoint(folder)), config=config, class_names=names)


def load_reference(name: str, folder: Path) -> Any:
    """The `SourceModel` of a reference model."""
    from maskrt.export.families.base import load_source

    return load_source(source_options(full_reference_model(name), folder))


def export_reference(source: Any, folder: Path) -> Path:
    """The ONNX file of a `SourceModel`, with uint8 input, written into a folder."""
    from maskrt.export import export_onnx

    return export_onnx(source.model, folder / REFERENCE_FILE, class_names=source.class_names, verify=False)
