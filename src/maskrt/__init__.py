"""maskrt: PyTorch Mask R-CNN to ONNX and TensorRT, served by a lean runtime."""

__version__ = "0.2.0"
