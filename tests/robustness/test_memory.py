"""Memory of the runtime, each figure from a process of its own; with what would be a finding, as a control.

A short form runs by default, all 1,000 images with MASKRT_LONG_TESTS=1.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# The memory of the C library and of ONNX Runtime needs some images of each size to settle.
IMAGES, WARM_UP = (1000, 100) if os.environ.get("MASKRT_LONG_TESTS") == "1" else (20, 6)
MOST_GROWTH = 0.01
MOST_OVER_THE_MODELS_OWN = 200  # MB


def probe(*arguments: str | int | Path) -> dict[str, float]:
    program = Path(__file__).with_name("memory_probe.py")
    result = subprocess.run(
        [sys.executable, str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, float] = json.loads(result.stdout)
    print(*arguments[:1], {name: round(value, 1) for name, value in found.items()}, "MB")
    return found


@pytest.mark.slow
def test_a_segmenter_does_not_grow(shapes_onnx: Path) -> None:
    memory = probe("growth", shapes_onnx, IMAGES, WARM_UP)
    limit = memory["before"] * (1 + MOST_GROWTH)
    assert memory["after"] < limit
    assert memory["leaked"] > limit, "the control, a leak of 8 images, is not seen"


def test_a_thousand_masks_on_a_4k_image(shapes_onnx: Path) -> None:
    memory, canvas = probe("peak", shapes_onnx, "rle"), probe("peak", shapes_onnx, "canvas")
    assert memory["peak"] - memory["before"] < MOST_OVER_THE_MODELS_OWN
    assert canvas["peak"] - canvas["before"] > MOST_OVER_THE_MODELS_OWN, "the control, 60 canvases, is not seen"
