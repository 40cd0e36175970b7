"""Opens files that may be damaged, in a process of its own: `Examiner` starts it and survives it.

Reads lines "kind<tab>path", answers each with one line of JSON: `outcome` is "result" (with `fingerprint`), "refused"
(a MaskrtError, with its `message`) or "fault" (any other exception, with the traceback), and `peak_mb` is the most
memory that the process has had.
"""

import contextlib
import hashlib
import json
import os
import resource
import sys
import threading
import traceback
from pathlib import Path

import cv2
import numpy as np

from maskrt.contract.manifest import check_engine_files, read_manifest
from maskrt.runtime import MaskrtError, Segmenter, read_image
from maskrt.runtime.backends.tensorrt.manifest import tensorrt_settings

# Only keeps the test machine alive: what is too much memory is found well before.
ADDRESS_SPACE = 16 << 30


def examine_image(path: Path) -> str:
    """The type of the picture; which pixels a damaged one has is nobody's promise."""
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    assert image.max() >= 0  # reads each pixel, and fails without any
    return "uint8 RGB"


def examine_model(path: Path) -> str:
    """All instances that the model finds in one picture."""
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cv2.circle(picture, (40, 30), 20, (255, 0, 0), cv2.FILLED)
    segmenter = Segmenter(path, threads=1)
    found = segmenter.predict(picture, score_threshold=0.01).to_coco(1)
    return hashlib.sha256(json.dumps([found, segmenter.class_names], ensure_ascii=False).encode()).hexdigest()


def examine_engine(path: Path) -> str:
    """The manifest of an engine whose bytes it describes."""
    manifest = read_manifest(path)
    check_engine_files(path, manifest)
    manifest.metadata(str(path))
    tensorrt_settings(path, manifest)
    return hashlib.sha256(manifest.to_json().encode()).hexdigest()


def examine_checkpoint(path: Path) -> str:
    """The names of the weights, and what they are of; the numbers of a damaged one are nobody's promise."""
    from maskrt.export.checkpoints import architecture, facts, read_checkpoint

    checkpoint = read_checkpoint(path)
    assert all(tensor.isfinite().sum() >= 0 for tensor in checkpoint.tensors.values())  # reads each number
    json.dumps(checkpoint.meta)
    found = architecture.identify(checkpoint)
    for tell in (facts.detectron2_facts, facts.mmdet_facts):
        with contextlib.suppress(facts.FactsError):
            tell(checkpoint.shapes)
    return f"{found.framework} {found.name}"


def examine_config(path: Path) -> str:
    """What a config says; mmdetection's begins with its class of detectors."""
    from maskrt.export.checkpoints.configs import detectron2, mmdet

    text = path.read_text(encoding="utf-8", errors="replace")
    read = mmdet.read_mmdet_config if "dict(" in text else detectron2.read_detectron2_config
    return json.dumps(read(path).values, default=str)


def misbehave(path: Path) -> str:
    """What the file says; the tests of `Examiner` ask for it."""
    what = path.read_text()
    if what == "crash":
        os.abort()
    while what == "hang":
        pass
    if what == "wait":
        threading.Event().wait()
    if what == "memory":
        np.ones(400 << 20, np.uint8)
    if what == "fault":
        raise KeyError(what)
    return what


def peak_resident_mb() -> int:
    """The most memory that this process has had; `ru_maxrss` begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    examine = {
        "image": examine_image,
        "model": examine_model,
        "engine": examine_engine,
        "checkpoint": examine_checkpoint,
        "config": examine_config,
        "misbehave": misbehave,
    }
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split("\t")
        try:
            answer = {"outcome": "result", "fingerprint": examine[kind](Path(path))}
        except MaskrtError as error:
            answer = {"outcome": "refused", "message": str(error)}
        except Exception:
            answer = {"outcome": "fault", "message": traceback.format_exc()}
        print(json.dumps({**answer, "peak_mb": peak_resident_mb()}), flush=True)


if __name__ == "__main__":
    main()
