"""The result files of `maskrt compare`, `evaluate`, `bench` and `make gpu-check` as types, to write and to read."""

PYTORCH = "PyTorch"
"""The name of the source model in every result; model files have their own."""
