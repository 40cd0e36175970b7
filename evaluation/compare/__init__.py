"""`maskrt compare`: model files against the PyTorch model that they came from, with a verdict."""
