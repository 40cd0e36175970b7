"""The result files of `maskrt compare`, `evaluate` and `bench` as types: whoever writes or reads one does it here."""

PYTORCH = "PyTorch"
"""The name of the source model in every result; model files have their own."""
