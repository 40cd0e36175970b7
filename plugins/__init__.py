"""The TensorRT plugins MultilevelRoIAlign and BatchedNMS: their build, loader, and CPU and GPU functions.

The modules: `build` compiles the libraries, `loader` registers them with TensorRT, `host` runs the operators
on NumPy arrays, `device` runs them on GPU arrays without TensorRT.
"""
