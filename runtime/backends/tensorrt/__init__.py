"""TensorRT and TensorRT-RTX engines on the GPU."""
