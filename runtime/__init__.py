"""Images in, instances out: `Segmenter`, `Instances` and what they raise.

Needs NumPy, OpenCV, and ONNX Runtime for `.onnx` files (imported when one is opened); never torch.
"""

from maskrt.runtime.draw import draw_instances
from maskrt.runtime.errors import ArgumentError, DependencyError, ImageError, MaskrtError, ModelError
from maskrt.runtime.images import read_image
from maskrt.runtime.instances import Instances
from maskrt.runtime.segmenter import Segmenter

__all__ = [
    "ArgumentError",
    "DependencyError",
    "ImageError",
    "Instances",
    "MaskrtError",
    "ModelError",
    "Segmenter",
    "draw_instances",
    "read_image",
]
