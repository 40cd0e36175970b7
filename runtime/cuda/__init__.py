"""CUDA: the device, its memory, streams and graphs, and arrays that lie on it."""
