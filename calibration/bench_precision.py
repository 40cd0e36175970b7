"""Files of different precision on the same images in ONNX Runtime, in turns: what a precision does to speed on a CPU.

Run it as `python -m maskrt.calibration.bench_precision IMAGES FP32.onnx INT8.onnx`. On a GPU, time engines instead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maskrt.evaluation.timing import ratio, seconds_in_turns
from maskrt.runtime import MaskrtError, Segmenter, read_image
from maskrt.runtime.errors import ArgumentError
from maskrt.runtime.inputs import find_images


def run(models: list[Path], images: Path, repeats: int) -> None:
    """Prints, for each model, milliseconds an image and how many times faster than the first it is."""
    files, problems = find_images([str(images)])
    if problems:
        raise ArgumentError(problems[0])
    arrays = [read_image(file) for file in files[:8]]
    segmenters = [Segmenter(path) for path in models]
    batches = [[segmenter.preprocess([array]) for array in arrays] for segmenter in segmenters]

    def infer(index: int) -> None:
        for batch in batches[index]:
            segmenters[index].infer(batch)

    seconds = seconds_in_turns([lambda i=index: infer(i) for index in range(len(models))], repeats)  # type: ignore[misc]
    for index, path in enumerate(models):
        milliseconds = 1000 * float(sorted(seconds[:, index])[repeats // 2]) / len(arrays)
        speed = ratio(seconds[:, 0], seconds[:, index])
        print(f"{path.name}: {milliseconds:.1f} ms/image, {speed} as fast as {models[0].name}")


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="a folder; its first 8 images are used")
    parser.add_argument("models", type=Path, nargs="+", help="the first is what the others are compared with")
    parser.add_argument("--repeats", type=int, default=5, help="(default: %(default)s)")
    arguments = parser.parse_args()
    try:
        run(arguments.models, arguments.images, arguments.repeats)
    except MaskrtError as error:
        print(f"bench_precision: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
