"""Models of the Triton Inference Server: what runs inside of its Python backend."""
