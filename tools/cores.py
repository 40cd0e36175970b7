"""What a second core gives to the steps around the model, on the CPU.

    python -m maskrt.tools.cores

OpenCV spreads the resizing to uint8 over its own threads. The other steps are chains of NumPy operations, each of which
lets go of Python's lock: two threads can do two images at once. Both ways are timed in turns; the figure is how many
times faster the threads are. Below 1 they are not worth having: the operations are sized for the cache, some 50 us, and
handing the lock over between two threads takes as long.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from maskrt.contract.pipeline import Paste
from maskrt.evaluation.bench.paste import make_instances
from maskrt.evaluation.bench.timing import Ratio, ratio, seconds_in_turns
from maskrt.options import positive
from maskrt.runtime.transforms.filters.bilinear import resize_float32, resize_uint8

IMAGE_SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}
_RESIZED = (749, 1333)  # of both, where the shorter side is to be 800 and the longer at most 1333
_CALLS = 100
_PASTE = Paste("integer_box", 0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios with their spread; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m maskrt.tools.cores", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=positive, default=15, metavar="N", help="turns (default: 15)")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    with ThreadPoolExecutor(2) as pool:
        for name, size in IMAGE_SIZES.items():
            image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            print(f"{name}, resize to uint8, OpenCV's threads       {compare_opencv_threads(image, options.repeats)}")
            floats = np.empty((2, *_RESIZED, 3), dtype=np.float32)
            resize = [lambda out=out, image=image: resize_float32(image, _RESIZED, out) for out in floats]
            print(f"{name}, resize to float32, two threads          {compare_two(resize, pool, options.repeats)}")
            encode = [make_instances(100, size, rng, _PASTE).rle for _ in range(2)]
            print(f"{name}, paste and encode 100 masks, two threads {compare_two(encode, pool, options.repeats)}")
    return 0


def compare_opencv_threads(image: np.ndarray, repeats: int) -> Ratio:
    """`resize_uint8` on one thread over the same on as many as OpenCV takes by itself."""
    out = np.empty((*_RESIZED, 3), dtype=np.uint8)
    all_threads = cv2.getNumThreads()

    def resize_on(threads: int) -> None:
        cv2.setNumThreads(threads)
        for _ in range(_CALLS):  # on a busy machine it takes some until each thread has a core
            resize_uint8(image, _RESIZED, out)

    try:
        return ratio(*seconds_in_turns((lambda: resize_on(1), lambda: resize_on(all_threads)), repeats).T)
    finally:
        cv2.setNumThreads(all_threads)


def compare_two(functions: Sequence[Callable[[], object]], pool: ThreadPoolExecutor, repeats: int) -> Ratio:
    """Two calls one after the other over the same two at once."""

    def serial() -> None:
        for function in functions:
            function()

    def together() -> None:
        for future in [pool.submit(function) for function in functions]:
            future.result()

    return ratio(*seconds_in_turns((serial, together), repeats).T)


if __name__ == "__main__":
    sys.exit(main())
