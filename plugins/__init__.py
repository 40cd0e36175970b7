"""The CUDA side: TensorRT plugins (`loader.PLUGIN_NAMES`), and pre- and postprocessing of images.

The modules: `build` compiles the libraries, `loader` registers the plugins with TensorRT, `host` does the kernels' work
on NumPy arrays, `device` on GPU arrays without TensorRT.
"""
