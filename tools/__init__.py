"""The laboratory: what developers measure and check with. No part of the product imports it.

The modules: `gpu_check` runs on a GPU machine all that only a GPU can show, `kernel_benchmark` times the kernels there,
`inspect_sass` reads what the compiler made of them; `calibration_methods`, `cores` and `pipelining` make measurements
that defaults of the product rest on.
"""
