"""Find instances in images and videos: overlays to look at, COCO JSON to work with.

    maskrt infer model.onnx photos/ extra.jpg "more/*.png" --output out/infer

writes out/infer/overlays/*.jpg, out/infer/instances.json (a COCO data set) and out/infer/results.json (a COCO
results list). An image that cannot be read is reported and the rest goes on.

    maskrt infer model.onnx clip.mp4 camera:0 rtsp://host/stream --output out/infer

writes out/infer/clip.mp4, annotated and in the time of the original, and out/infer/clip.jsonl, a line of COCO records
per frame; and so on. A camera goes on until it is interrupted.

Exit code: 0 all images and frames done, 1 some failed, 2 nothing could be done (usage, model, output folder),
130 interrupted; what was finished until then is written.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file, maybe without an installation
    sys.path[0] = str(Path(__file__).resolve().parents[1] / "src")

import cv2

from maskrt.command import INTERRUPTED, run_verb
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.files import write_in_one_step
from maskrt.options import fraction, positive
from maskrt.runtime.inference.images import ImageRun
from maskrt.runtime.inference.sources import find_images, unique_stems
from maskrt.runtime.inference.video import VideoRun
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.video.reader import VideoReader, file_stem, import_av, is_stream, is_video

EXTRA = "maskrt[cpu]"
INTERRUPTED_NOTE = "what was finished is written"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt infer`; returns the exit code."""
    return run_verb("maskrt infer", sys.modules[__name__], arguments)


def run(options: argparse.Namespace) -> int:
    """Works through all images and videos; returns the exit code.

    Raises:
        MaskrtError: nothing can be done with what the user gave.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own messages say it better
    if options.threads is not None:
        cv2.setNumThreads(options.threads)
    images, videos, problems = _find_inputs(options.images)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not images and not videos:
        raise ArgumentError("There is nothing to do: no image was found.")
    if videos:
        import_av()  # whether it is there, before anything is done
    segmenter = Segmenter(options.model, threads=options.threads)
    _make_writable(options.output)
    codes = [1] if problems else []
    if options.overlays:
        _check_apart(images, videos, options.output)
    if images:
        if options.overlays:
            _make_writable(options.output / "overlays")
        codes.append(ImageRun(segmenter, images, options, failed=len(problems)).execute())
    for source, stem in zip(videos, unique_stems([file_stem(source) for source in videos]), strict=True):
        if INTERRUPTED not in codes:
            codes.append(_run_video(segmenter, source, options.output / stem, options))
    return max(codes)


def _find_inputs(arguments: Sequence[str]) -> tuple[list[Path], list[str], list[str]]:
    """Image files, videos (files, streams and cameras), and a sentence for each argument without either."""
    files, problems = find_images([argument for argument in arguments if not is_stream(argument)])
    videos = [file for file in files if is_video(file)]
    streams = [argument for argument in arguments if is_stream(argument)]
    return [file for file in files if file not in set(videos)], [*map(str, videos), *streams], problems


def _run_video(segmenter: Segmenter, source: str, stem: Path, options: argparse.Namespace) -> int:
    try:
        with VideoReader(source, options.threads) as reader:
            return VideoRun(segmenter, reader, stem, options).execute()
    except MaskrtError as error:
        print(f"maskrt infer: {error}", file=sys.stderr)
        return 1


def _check_apart(images: Sequence[Path], videos: Sequence[str], output: Path) -> None:
    """That no input lies where the pictures go, which could take its place."""
    overlays = (output / "overlays").resolve()
    folders = {image.parent: image for image in images}  # few, where the images are many
    replaced = [image for folder, image in folders.items() if folder.resolve() == overlays]
    mp4s = [video for video in map(Path, videos) if video.suffix.lower() == ".mp4"]
    replaced += [video for video in mp4s if video.resolve().parent == output.resolve()]
    if replaced:
        raise ArgumentError(f"{replaced[0]} lies where the results go, and would be replaced. Choose another --output.")


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_in_one_step(folder / ".maskrt", b"")
        (folder / ".maskrt").unlink()
    except OSError as error:
        raise ArgumentError(
            f"The output folder {folder} cannot be written: {error.strerror or error}. Choose another with --output."
        ) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("model", type=Path, help="model file: .onnx or .engine")
    parser.add_argument(
        "images", nargs="+", metavar="input", help="image, folder, quoted glob, video, URL, or camera:0"
    )
    parser.add_argument("--output", type=Path, default=Path("out/infer"), help="folder (default: %(default)s)")
    parser.add_argument("--score-threshold", type=fraction, metavar="S", help="least score, 0-1 (default: the model's)")
    parser.add_argument(
        "--nms-threshold", type=fraction, metavar="IOU", help="greatest overlap, 0-1 (default: the model's)"
    )
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images per run (default: 1)")
    parser.add_argument(
        "--tile", type=_size, metavar="HEIGHTxWIDTH", help="go through large images in overlapping tiles of this size"
    )
    parser.add_argument("--threads", type=_threads, metavar="N", help="CPU threads, at most one per core (the default)")
    parser.add_argument(
        "--no-overlays", dest="overlays", action="store_false", help="write the JSON only, no pictures and no video"
    )
    parser.add_argument("--timings", action="store_true", help="show where the time goes")


def _threads(text: str) -> int:
    """More threads than cores gain nothing, and many more than the system allows end the process."""
    return min(positive(text), os.cpu_count() or 1)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or int(match[1]) < 1 or int(match[2]) < 1:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, as in 800x1333, got {text}")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())
