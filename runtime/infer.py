"""Find instances in images and videos: overlays to look at, COCO JSON to work with.

    maskrt infer model.onnx --images photos/ extra.jpg "more/*.png" -o out/infer

writes out/infer/overlays/*.jpg, out/infer/instances.json (a COCO data set) and out/infer/results.json (a COCO
results list). The JSON has all that the model finds, overlays what it is sure of (--overlay-threshold). An image that
cannot be read is reported and the rest goes on. What is found is in out/infer/instances.jsonl at once, a line per
image: a run that was interrupted, killed, or out of disk space goes on with --resume.

    maskrt infer model.onnx --images clip.mp4 camera:0 rtsp://host/stream -o out/infer

writes out/infer/clip.mp4, annotated and in the time of the original, and out/infer/clip.jsonl, a line of COCO records
per frame; and so on. With --track, an object keeps its number (`track_id`) from frame to frame. A camera goes on until
it is interrupted. While it is written, the video is out/infer/clip.partial.mp4, which can be played, also where the run
was killed.

Exit code: 0 all images and frames done, 1 some failed, 2 nothing could be done (usage, model, output folder),
130 interrupted (Ctrl-C, SIGTERM, SIGHUP); what was finished until then is written.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file, maybe without an installation
    sys.path[0] = str(Path(__file__).resolve().parents[1] / "src")
if __name__ == "__main__":  # as the verb, so that Ctrl-C ends also what is imported below without a traceback
    from maskrt.command import run_module

    sys.exit(run_module("maskrt infer", "maskrt.runtime.infer"))

import cv2

from maskrt.command import INTERRUPTED, run_verb
from maskrt.errors import ArgumentError, MaskrtError, with_code
from maskrt.options import (
    add_images_option,
    add_model_files,
    add_output_option,
    add_thread_option,
    add_threshold_options,
    fraction,
    picture_size,
    positive,
    thresholds,
)
from maskrt.runtime.draw import DrawOptions
from maskrt.runtime.inference.find import Inputs, find_inputs
from maskrt.runtime.inference.journal import OVERLAYS, Journal, dependencies
from maskrt.runtime.inference.output import check_apart, make_writable
from maskrt.runtime.inference.run import Run
from maskrt.runtime.inference.settings import DRAWN_FROM, FORMATS, MASK_FORMATS, TABLE, Settings
from maskrt.runtime.inference.sources import ImageFiles, Video, unique_stems
from maskrt.runtime.inference.writers.table import FILE as TABLE_FILE
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.video.reader import VideoReader, file_stem, import_av
from maskrt.runtime.video.tracking import Tracker
from maskrt.runtime.video.writer import PARTIAL_SUFFIX
from maskrt.terminal import say

EXTRA = "maskrt[cpu]"
INTERRUPTED_NOTE = "what was finished is written"


LARGE = 10_000
"""Pictures from which on the user hears of clusters: more than half an hour on a CPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt infer`; return the exit code."""
    return run_verb("maskrt infer", sys.modules[__name__], arguments)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_model_files(parser, nargs=1)
    what = "images, folders, quoted globs, videos, URLs, or cameras as camera:0"
    add_images_option(parser, what=what, required=True)
    add_output_option(parser, Path("out/infer"), "folder of the results")
    add_threshold_options(parser)
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images per run (default: 1)")
    parser.add_argument(
        "--tile",
        type=picture_size,
        metavar="HEIGHTxWIDTH",
        help="go through large images in overlapping tiles of this size",
    )
    parser.add_argument(
        "--warm-up",
        type=picture_size,
        nargs="+",
        default=[],
        metavar="HEIGHTxWIDTH",
        help="sizes of images to be ready for before the first; an engine takes longer over the first of a size",
    )
    add_thread_option(parser)
    parser.add_argument(
        "--format",
        dest="formats",
        nargs="+",
        choices=FORMATS,
        default=[],
        metavar="NAME",
        help=f"write these, too: {', '.join(FORMATS)} (pictures of what overlays show)",
    )
    parser.add_argument(
        "--polygons", action="store_true", help="masks of instances.json as polygons (default: run lengths)"
    )
    parser.add_argument("--track", action="store_true", help="follow objects through a video, and number them")
    parser.add_argument(
        "--no-overlays", dest="overlays", action="store_false", help="write the JSON only, no pictures and no video"
    )
    drawing = parser.add_argument_group("overlays and videos")
    drawing.add_argument(
        "--overlay-threshold", type=fraction, default=DRAWN_FROM, metavar="S", help="least score drawn (default: 0.5)"
    )
    drawing.add_argument("--color-by", choices=("class", "instance"), default="class", help="(default: %(default)s)")
    drawing.add_argument("--no-labels", dest="labels", action="store_false", help="draw no plates with class and score")
    drawing.add_argument("--boxes", action="store_true", help="draw boxes beside the masks")
    drawing.add_argument("--thickness", type=positive, metavar="PIXELS", help="of lines (default: by the picture)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted or killed run over images stopped"
    )
    parser.add_argument("--timings", action="store_true", help="show where the time goes")


def run(options: argparse.Namespace) -> int:
    """Work through all images and videos; return the exit code.

    Raises:
        MaskrtError: nothing can be done with what the user gave.
    """
    settings = Settings(
        output=options.output,
        thresholds=thresholds(options),
        batch_size=options.batch_size,
        formats=tuple(name for name in FORMATS if name in options.formats),
        polygons=options.polygons,
        track=options.track,
        tile=options.tile,
        overlays=options.overlays,
        drawing=DrawOptions(
            colors=options.color_by,
            labels=options.labels,
            boxes=options.boxes,
            thickness=options.thickness,
            score_threshold=options.overlay_threshold,
        ),
        resume=options.resume,
        timings=options.timings,
        threads=options.threads,
        warm_up=tuple(options.warm_up),
    )
    return _infer(options.models[0], options.images, settings)


def _infer(model: Path, arguments: Sequence[str], settings: Settings) -> int:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own messages say it better
    if settings.threads is not None:
        cv2.setNumThreads(settings.threads)
    inputs = find_inputs(arguments)
    say(*inputs.problems, *inputs.skipped, file=sys.stderr)
    if len(inputs.images) >= LARGE:
        say(_cluster_hint(len(inputs.images), arguments, model), file=sys.stderr)
    if not inputs.images and not inputs.videos:
        raise ArgumentError("There is nothing to do: no image was found.")
    _check_kinds(inputs, settings)
    if settings.track:
        Tracker()  # whether it is there, before anything is done
    if inputs.videos:
        import_av()  # whether it is there, before anything is done
    warm_up = [(settings.batch_size, *size) for size in settings.warm_up]
    segmenter = Segmenter(model, threads=settings.threads, warm_up=warm_up)
    _check_masks(segmenter, settings)
    output = settings.output
    make_writable(output)
    stems = unique_stems([file_stem(source) for source in inputs.videos], PARTIAL_SUFFIX)
    results = [output / name for name in ("instances.json", "results.json", "instances.jsonl") if inputs.images]
    results += [output / f"{stem}{end}" for stem in stems for end in (".jsonl", ".mp4", PARTIAL_SUFFIX)]
    if TABLE in settings.formats:
        results += [output / name for name in ([TABLE_FILE] if inputs.images else [])]
        results += [output / f"{stem}.csv" for stem in stems]
    folders = [output / name for name in (*([OVERLAYS] if settings.overlays else []), *settings.picture_formats)]
    given = [*inputs.images, *map(Path, inputs.videos), model]
    check_apart(given, results, folders)
    codes = [1] if inputs.problems else []
    if inputs.images:
        for folder in folders:
            make_writable(folder)
        journal = Journal(output, dependencies(model, settings), resume=settings.resume, spared=inputs.images)
        source = ImageFiles(inputs.images, journal, failed=len(inputs.problems))
        codes.append(Run(segmenter, source, settings).execute())
    for video, stem in zip(inputs.videos, stems, strict=True):
        if INTERRUPTED not in codes:
            codes.append(_infer_video(segmenter, video, stem, settings))
    return max(codes)


def _check_kinds(inputs: Inputs, settings: Settings) -> None:
    """Check that what is asked for goes with what is given."""
    if settings.resume and not inputs.images:
        raise ArgumentError("--resume goes on with image files; videos are done anew. Leave it out.")
    if settings.track and (inputs.images or not inputs.videos):
        raise ArgumentError("--track follows objects through videos, but images are given, too. Leave them out.")
    if inputs.videos and settings.picture_formats:
        raise ArgumentError(
            f"--format {' '.join(settings.picture_formats)} is for image files, but {inputs.videos[0]} is a video. "
            "Leave one of the two out."
        )
    if settings.polygons and not inputs.images:
        raise ArgumentError("--polygons is for instances.json, which is written of image files alone. Leave it out.")


def _check_masks(segmenter: Segmenter, settings: Settings) -> None:
    """Check that there are masks where pictures or polygons of them are asked for."""
    asked = ["--polygons"] if settings.polygons else []
    asked += [f"--format {name}" for name in settings.formats if name in MASK_FORMATS]
    if asked and not any(output.meaning == "mask_probabilities" for output in segmenter.metadata.outputs):
        raise ArgumentError(f"{asked[0]} needs masks, but the model is a detector without a mask branch. Leave it out.")


def _infer_video(segmenter: Segmenter, source: str, stem: str, settings: Settings) -> int:
    try:
        with VideoReader(source, settings.threads) as reader:
            return Run(segmenter, Video(reader, stem), settings).execute()
    except MaskrtError as error:
        say(f"maskrt infer: {with_code(str(error), error.code)}", file=sys.stderr)
        return 1


def _cluster_hint(pictures: int, arguments: Sequence[str], model: Path) -> str:
    command = shlex.join(["python", "-m", "maskrt.ray", *arguments, "--model", str(model), "--output", "out/ray"])
    return (
        f"There are {pictures:,} pictures. Several machines, or several GPUs of this one, share them with Ray: "
        f"`{command}` (docs/ray.md)."
    )
