"""What only a GPU can show, in one command: `make gpu-check`, `python -m maskrt.tools.gpu_check`.

The check has parts, the most valuable first, each in a process of its own with a limit of time: what crashes, hangs or
cannot be imported ends its part and no other. The results so far are written after each part, and a part's own after
each of its steps. Needs Python, torch and torchvision with CUDA, nvcc, CMake, onnx and pytest; what else is missing is
said by the part that would need it.

`parts` lists them, `run` starts them, `__main__` is the command; `tests`, `pipeline`, `rtx` and the package
`kernel_benchmark` are what they do, `carried` is what they bring from a machine without a GPU.
"""
