"""`maskrt evaluate`: COCO AP of model files and of the PyTorch model."""
