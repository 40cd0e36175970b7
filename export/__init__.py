"""PyTorch Mask R-CNN → one ONNX file that states the whole inference.

>>> from maskrt.export import export_onnx
>>> export_onnx(model, "model.onnx", class_names=["__background__", "cat", "dog"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskrt.export.exporter import export_onnx

__all__ = ["export_onnx"]


def __getattr__(name: str) -> Any:
    # Lazily, so that `maskrt.export.functions` can be used where torch is not installed.
    if name == "export_onnx":
        from maskrt.export.exporter import export_onnx

        return export_onnx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
