"""Whether engines that TensorRT-RTX built on a CPU load and run on this GPU, also one that is not on its list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskrt.tools.gpu_check.carried import REFERENCE
from maskrt.tools.gpu_check.part import Report, Skip, require_gpu


def run(report: Report) -> None:
    """Try each engine that came along: load it as it is, and run it where the runtime takes it."""
    require_gpu()
    engines = sorted(report.carried.glob("*.engine"))
    if not engines:
        raise Skip(f"no engine came along in {report.carried}: `python -m maskrt.tools.gpu_check --prepare` makes some")
    import tensorrt_rtx as trt

    from maskrt.plugins.loader import load_plugins

    report.add("tensorrt_rtx", trt.__version__)
    messages: list[str] = []
    log = _log(trt, messages)
    runtime = trt.Runtime(log)
    load_plugins(trt)
    for path in engines:
        report.add(path.name, "its loading ended the process")
        messages.clear()
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        context = None if engine is None else engine.create_execution_context()
        facts: dict[str, Any] = {"loads": engine is not None, "has_context": context is not None}
        if messages:
            facts["log"] = messages[:5]
        del context, engine
        report.add(path.name, facts)
        report.add(path.name, {**facts, "runs": _run(path, report.carried)})


def _run(path: Path, carried: Path) -> Any:
    """Run the engine as a user does; what it finds beside what ONNX Runtime found, or why it does not run."""
    from maskrt.contract.tensors import make_feed
    from maskrt.errors import MaskrtError
    from maskrt.runtime import Segmenter

    with np.load(carried / REFERENCE) as file:
        expected = dict(file)
    try:
        segmenter = Segmenter(path)
        found = segmenter._backend.run(make_feed(expected["images"], expected["image_sizes"], 0.05, 0.5))
    except MaskrtError as error:
        return str(error)
    return {name: float(np.abs(one.astype(np.float64) - expected[name]).max()) for name, one in found.outputs.items()}


def _log(trt: Any, messages: list[str]) -> Any:
    class Log(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                messages.append(message)

    return Log()
