"""What a user can do without this project, timed on the same GPU: torch.compile, and ONNX Runtime's CUDA provider."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from maskrt.contract.tensors import make_feed
from maskrt.tools.gpu_check.carried import ONNX, REFERENCE
from maskrt.tools.gpu_check.part import Report, Skip, require_gpu
from maskrt.tools.gpu_check.pipeline import MODELS, pictures_of
from maskrt.tools.kernel_benchmark.timing import median_and_spread


def compiled(report: Report) -> None:
    """Time torchvision's models under `torch.compile`, which splits them where sizes depend on the data."""
    require_gpu()
    for name, make in MODELS.items():
        try:
            model, images, sizes, _ = make(report)
        except (ImportError, OSError) as error:
            report.add(name, {"left_out": f"{type(error).__name__}: {error}"})
            continue
        model = model.cuda().eval()
        pictures = pictures_of(images.cuda(), sizes)
        with torch.inference_mode():
            eager = median_and_spread(partial(model, pictures))
            report.add(name, {"eager_us": eager})
            whole = torch.compile(model)
            report.add(name, {"eager_us": eager, "compiled_us": median_and_spread(partial(whole, pictures))})


def onnx_runtime(report: Report) -> None:
    """Run the file that came along with the CUDA provider, and compare with what the CPU's found."""
    require_gpu()
    if not (report.carried / ONNX).is_file():
        raise Skip(f"no file came along in {report.carried}: `python -m maskrt.tools.gpu_check --prepare` makes one")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise Skip("this ONNX Runtime has no CUDA provider")
    session = onnxruntime.InferenceSession(str(report.carried / ONNX), providers=["CUDAExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        raise Skip("ONNX Runtime cannot start its CUDA provider here")
    report.add("version", onnxruntime.__version__)
    with np.load(report.carried / REFERENCE) as file:
        expected = dict(file)
    feed = make_feed(expected["images"], expected["image_sizes"], 0.05, 0.5)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, feed), strict=True))
    report.add(
        "differences",
        {name: float(np.abs(one.astype(np.float64) - expected[name]).max()) for name, one in found.items()},
    )
    report.add("us", median_and_spread(partial(session.run, names, feed)))
