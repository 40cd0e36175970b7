"""The CUDA side: the TensorRT plugins MultilevelRoIAlign and BatchedNMS, and pre- and postprocessing of images.

The modules: `build` compiles the libraries, `loader` registers the plugins with TensorRT, `host` does the kernels' work
on NumPy arrays, `device` on GPU arrays without TensorRT.
"""
