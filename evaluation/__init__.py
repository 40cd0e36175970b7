"""Comparison with PyTorch, COCO AP, benchmarks."""
