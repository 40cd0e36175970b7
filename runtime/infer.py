"""Find instances in images: overlays to look at, COCO JSON to work with.

    maskrt-infer model.onnx photos/ extra.jpg "more/*.png" --output out/infer

writes out/infer/overlays/*.jpg, out/infer/instances.json (a COCO data set) and out/infer/results.json (a COCO
results list). An image that cannot be read is reported and the rest goes on.

Exit code: 0 all images done, 1 some failed, 2 nothing could be done (usage, model, output folder),
130 interrupted; what was finished until then is written.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file, maybe without an installation
    sys.path[0] = str(Path(__file__).resolve().parents[1] / "src")

import cv2
import numpy as np

from maskrt.runtime.coco_json import CocoResults, write_in_one_step
from maskrt.runtime.draw import draw_instances
from maskrt.runtime.errors import ArgumentError, MaskrtError
from maskrt.runtime.images import read_image
from maskrt.runtime.inputs import find_images, unique_names
from maskrt.runtime.instances import Instances
from maskrt.runtime.progress import Progress
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.stopwatch import Stopwatch

# Full colour resolution: at the usual half of it, coloured outlines and text smear.
_JPEG_QUALITY = (
    cv2.IMWRITE_JPEG_QUALITY,
    93,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt-infer`; returns the exit code."""
    options = _parse(arguments)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own messages say it better
    if options.threads is not None:
        cv2.setNumThreads(options.threads)
    try:
        files, problems = find_images(options.images)
        for problem in problems:
            print(problem, file=sys.stderr)
        if not files:
            raise ArgumentError("There is nothing to do: no image was found.")
        segmenter = Segmenter(options.model, threads=options.threads)
        for folder in (options.output, options.output / "overlays"):
            if folder == options.output or options.overlays:
                _make_writable(folder)
        run = _Run(segmenter, files, options)
        return run.execute(failed=len(problems))
    except MaskrtError as error:
        print(f"maskrt-infer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first image or after the last
        return 130


class _Run:
    """One pass over all images, and what came of it."""

    def __init__(self, segmenter: Segmenter, files: Sequence[Path], options: argparse.Namespace) -> None:
        self._segmenter = segmenter
        self._files = files
        self._options = options
        self._overlay_names = unique_names(files, ".jpg")
        self._results = CocoResults(segmenter.class_names)
        self._stopwatch = Stopwatch()
        self._progress = Progress(len(files), sys.stderr)
        self._done = self._instances = self._failed = 0

    def execute(self, failed: int) -> int:
        """Work through the images, write the results, return the exit code; `failed` inputs failed before."""
        self._failed = failed
        interrupted = False
        try:
            for batch in self._read_batches():
                self._segment(batch)
        except KeyboardInterrupt:
            interrupted = True
        self._progress.close()
        try:
            paths = self._results.write(self._options.output)
        except OSError as error:
            print(f"maskrt-infer: the results cannot be written: {_reason(error)}.", file=sys.stderr)
            return 2
        self._summarize(paths, interrupted)
        if interrupted:
            return 130
        return 1 if self._failed else 0

    def _read_batches(self) -> Iterator[dict[int, np.ndarray]]:
        """Decoded images by their number, `batch_size` at a time, without those that cannot be read."""
        batch: dict[int, np.ndarray] = {}
        for number, file in enumerate(self._files):
            try:
                with self._stopwatch.stage("decode"):
                    batch[number] = read_image(file)
            except MaskrtError as error:
                self._fail(str(error))
            if len(batch) == self._options.batch_size:
                yield batch
                batch = {}
        if batch:
            yield batch

    def _segment(self, images: dict[int, np.ndarray]) -> None:
        try:
            with self._stopwatch.stage("preprocess"):
                batch = self._segmenter.preprocess(list(images.values()))
            with self._stopwatch.stage("infer"):
                detections = self._segmenter.infer(
                    batch,
                    score_threshold=self._options.score_threshold,
                    nms_threshold=self._options.nms_threshold,
                )
            with self._stopwatch.stage("postprocess"):
                results = self._segmenter.postprocess(detections, batch)
        except (MaskrtError, MemoryError) as error:
            for number in images:
                self._fail(f"{self._files[number]}: {error or 'not enough memory.'}")
            return
        for (number, image), instances in zip(images.items(), results, strict=True):
            self._write(number, image, instances)

    def _write(self, number: int, image: np.ndarray, instances: Instances) -> None:
        file = self._files[number]
        try:
            if self._options.overlays:
                with self._stopwatch.stage("draw"):
                    overlay = draw_instances(image, instances)
                with self._stopwatch.stage("write"):
                    write_overlay(self._options.output / "overlays" / self._overlay_names[number], overlay)
            with self._stopwatch.stage("rle"):
                self._results.add(number + 1, str(file), instances)
        except OSError as error:
            self._fail(f"{file}: its overlay cannot be written: {_reason(error)}.")
            return
        self._done += 1
        self._instances += len(instances)
        self._progress.step(f"{file}: {instances}")

    def _fail(self, message: str) -> None:
        self._failed += 1
        self._progress.fail(f"failed: {message}")

    def _summarize(self, paths: tuple[Path, Path], interrupted: bool) -> None:
        if interrupted:
            print(f"Interrupted: {len(self._files) - self._done - self._failed} images were not reached.")
        print(f"{_count(self._done, 'image')}, {_count(self._instances, 'instance')}, {self._failed} failed.")
        if self._options.overlays:
            print(f"Overlays: {self._options.output / 'overlays'}")
        print(f"COCO JSON: {paths[0]} (data set), {paths[1]} (results list)")
        if self._options.timings:
            print(self._stopwatch.table(self._done))


def write_overlay(path: Path, image: np.ndarray) -> None:
    """Write an RGB image [H, W, 3] uint8 as JPEG, in one step.

    Raises:
        OSError: the file cannot be written, or a side is longer than the 65500 pixels that JPEG allows.
    """
    try:
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG_QUALITY)
    except cv2.error:
        raise OSError(f"a JPEG cannot hold {image.shape[1]}x{image.shape[0]} pixels") from None
    write_in_one_step(path, encoded.tobytes())


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_in_one_step(folder / ".maskrt", b"")
        (folder / ".maskrt").unlink()
    except OSError as error:
        raise ArgumentError(
            f"The output folder {folder} cannot be written: {_reason(error)}. Choose another with --output."
        ) from None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="maskrt-infer",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="model file (.onnx), as maskrt-export writes it")
    parser.add_argument("images", nargs="+", metavar="image", help="image file, folder, or quoted glob")
    parser.add_argument("--output", type=Path, default=Path("out/infer"), help="folder (default: %(default)s)")
    parser.add_argument(
        "--score-threshold", type=_fraction, metavar="S", help="least score, 0-1 (default: the model's)"
    )
    parser.add_argument(
        "--nms-threshold", type=_fraction, metavar="IOU", help="greatest overlap, 0-1 (default: the model's)"
    )
    parser.add_argument("--batch-size", type=_positive, default=1, metavar="N", help="images per run (default: 1)")
    parser.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="write the JSON only")
    parser.add_argument("--timings", action="store_true", help="show where the time goes")
    return parser.parse_args(arguments)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
