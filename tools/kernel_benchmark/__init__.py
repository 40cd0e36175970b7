"""Times of the CUDA kernels on this machine's GPU, beside torchvision's in the same run. Needs torch with CUDA.

The modules: `kernels` times those of the network and calls `images`, which times those of pre- and postprocessing;
`timing` times a call, `boxes` draws the boxes to call with.
"""
