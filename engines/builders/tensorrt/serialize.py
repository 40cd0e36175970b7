"""Network → engine bytes: the builder's configuration, its log, and stopping it."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from maskrt.contract.manifest import Tensor
from maskrt.engines.builders.tensorrt.packages import TENSORRT, Package
from maskrt.engines.builders.tensorrt.progress import BuildProgress
from maskrt.runtime.backends.tensorrt.manifest import TensorRtSettings


def serialize_network(
    trt: ModuleType,
    package: Package,
    parsed: tuple[Any, Any, Any],
    settings: TensorRtSettings,
    tensors: tuple[Tensor, ...],
    timing_cache: Path,
    monitor: Any,
) -> memoryview:
    """Return the engine's bytes.

    Args:
        trt: the TensorRT module.
        package: which of the two it is.
        parsed: builder, network and parser.
        settings: what it is told.
        tensors: the network's inputs.
        timing_cache: TensorRT's; read where it exists, and written.
        monitor: a `trt.IProgressMonitor`.

    Raises:
        PolygraphyException: the builder refuses the network, or was asked to stop.
        OSError: the timing cache cannot be read or written.
    """
    from polygraphy.backend.trt import EngineBytesFromNetwork, Profile

    profile = Profile()
    for tensor in tensors:
        canvases = settings.profile
        profile.add(tensor.name, *(tensor.at(canvas) for canvas in (canvases.min, canvases.opt, canvases.max)))
    options: dict[str, Any] = {
        "profiles": [profile],
        "memory_pool_limits": {trt.MemoryPoolType.WORKSPACE: settings.workspace_mib << 20},
        "progress_monitor": monitor,
    }
    if package is TENSORRT:
        from polygraphy.backend.trt import CreateConfig

        cache = str(timing_cache)
        create_config = CreateConfig(**options, load_timing_cache=cache if timing_cache.exists() else None)
        save_timing_cache = cache
    else:
        from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

        major, minor = map(int, settings.compute_capability.split("."))
        create_config = CreateConfigRTX(**options, compute_capabilities=[(major, minor)])
        save_timing_cache = None

    def configure(builder: Any, network: Any) -> Any:
        config = create_config(builder, network)
        config.clear_flag(trt.BuilderFlag.TF32)
        if package is not TENSORRT:  # the runtime brings the memory, which a CUDA graph needs
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        if settings.version_compatible:  # for the lean runtime, which is not to be packed into the engine
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
            config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)
        return config

    return memoryview(EngineBytesFromNetwork(parsed, configure, save_timing_cache=save_timing_cache)())


def polygraphy_exception() -> type[Exception]:
    """Return what Polygraphy raises. Its import waits until it is known which TensorRT it shall use."""
    from polygraphy.exception import PolygraphyException

    return PolygraphyException


@contextlib.contextmanager
def polygraphy_log() -> Iterator[list[str]]:
    """Collect the errors that TensorRT and Polygraphy log, instead of having them printed."""
    from polygraphy.logger import G_LOGGER

    errors: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:  # what is critical is the exception, too
                errors.append(record.getMessage().removeprefix("[E] "))

    logger = logging.getLogger("Polygraphy")
    handler = Collect(logging.ERROR)
    G_LOGGER.colors = False  # else it prints that a package for colours is missing
    previous = G_LOGGER.use_python_logging_system, G_LOGGER.module_severity, logger.propagate
    G_LOGGER.use_python_logging_system, G_LOGGER.module_severity, logger.propagate = True, G_LOGGER.ERROR, False
    logger.addHandler(handler)
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
        G_LOGGER.use_python_logging_system, G_LOGGER.module_severity, logger.propagate = previous


@contextlib.contextmanager
def interruptible(progress: BuildProgress) -> Iterator[None]:
    """Turn Ctrl-C into a request that the builder stops at its next step.

    An exception in one of TensorRT's callbacks would end the process. A second Ctrl-C ends it at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        progress.cancelled = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if progress.cancelled:
        raise KeyboardInterrupt
