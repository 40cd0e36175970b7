"""The kernels that TensorRT-RTX compiled on this machine, kept for the next process.

TensorRT-RTX compiles an engine's kernels for each canvas when it meets it first, which takes seconds. What it compiled
lies in its runtime cache, which it checks itself against GPU, driver and version when it is read again (`IRuntimeCache`
in its documentation). Here it gets a file beside the engine, or in the user's cache folder where that one cannot be
written to. Whatever is wrong with such a file, the engine runs: the kernels are compiled again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskrt.files import write_in_one_step

SUFFIX = ".kernels"
_DIGEST_BYTES = 32


class KernelCache:
    """A runtime cache of TensorRT-RTX, and the file that keeps it.

    Args:
        engine: the engine file.
        key: what the kernels depend on: the engine's hash, TensorRT's version, the GPU, the driver.
        runtime_cache: the `IRuntimeCache` to fill, and to keep.
    """

    def __init__(self, engine: Path, key: Sequence[object], runtime_cache: Any) -> None:
        digest = hashlib.sha256("\n".join(map(str, key)).encode()).hexdigest()[:16]
        name = f"{engine.stem}.{digest}{SUFFIX}"
        folders = [engine.parent, *_user_folder()]
        self._paths = [folder / name for folder in folders]
        self._runtime_cache = runtime_cache
        self._lock = threading.Lock()
        self._kept = b""  # the digest of what the file holds
        self._engine = engine
        for path in self._paths:
            if self._load(path):
                break

    def _load(self, path: Path) -> bool:
        try:
            content = path.read_bytes() if path.is_file() else b""  # a pipe would wait for ever
        except OSError:
            return False
        digest, kernels = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(kernels).digest() != digest:  # cut off, or changed
            return False
        try:
            loaded = bool(self._runtime_cache.deserialize(kernels))
        except Exception:  # whatever the bindings raise; nothing depends on the file
            return False
        self._kept = digest if loaded else b""
        return loaded

    def save(self) -> None:
        """Write the file, if there is something new. Warns, once, where it cannot be written; raises nothing."""
        with self._lock:
            try:
                kernels = bytes(memoryview(self._runtime_cache.serialize()))
            except Exception:  # see _load
                return
            digest = hashlib.sha256(kernels).digest()
            if digest == self._kept:
                return
            self._kept = digest  # also where it fails: it would fail again
            for path in self._paths:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_in_one_step(path, digest + kernels)
                except OSError:
                    continue
                return
        warnings.warn(
            f"The kernels that TensorRT-RTX compiled for {self._engine} cannot be kept: there is no "
            f"writing to {' and '.join(str(path.parent) for path in self._paths)}. Each start compiles them again.",
            RuntimeWarning,
            stacklevel=2,
        )


def _user_folder() -> list[Path]:
    """Name the folder for what can be made again, where the user has one: `$XDG_CACHE_HOME`, else `~/.cache`."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return [(Path(named) if named else Path.home() / ".cache") / "maskrt" / "kernels"]
    except RuntimeError:  # no home
        return []
