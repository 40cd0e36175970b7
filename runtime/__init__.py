"""Images in, instances out: `Segmenter`, `Instances` and what they raise.

Needs NumPy, OpenCV, and what runs the model, imported when one is opened: ONNX Runtime for `.onnx` files, TensorRT and
cuda-bindings for `.engine` files, OpenVINO for `.openvino.xml` files. Never torch.
"""

from maskrt.errors import ArgumentError, DependencyError, ImageError, MaskrtError, ModelError
from maskrt.runtime.draw import DrawOptions, draw_instances
from maskrt.runtime.images.read import read_image
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.streaming.pipeline import PipelineError
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.tiling.predict import predict_tiled

__all__ = [
    "ArgumentError",
    "DependencyError",
    "DrawOptions",
    "ImageError",
    "Instances",
    "MaskrtError",
    "ModelError",
    "PipelineError",
    "Segmenter",
    "draw_instances",
    "predict_tiled",
    "read_image",
]
