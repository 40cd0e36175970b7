r"""`maskrt bench`: latency, throughput and peak memory of model files, beside each other and PyTorch, in one run.

    maskrt bench model.onnx model.int8.onnx --images photos/ --batch-size 1 8 \
        --against pytorch --source maskrcnn_resnet50_fpn --weights COCO_V1

Each side goes from image files to COCO run-length encodings: decode, preprocess, infer, postprocess, rle. All sides
take the same batches in turns; peak memory is measured in a process of its own. With --operations, single operations of
the runtime are timed beside the functions of the frameworks and of pycocotools that they replace (on the CPU).

    maskrt bench --serve http://127.0.0.1:8000 --images photos/ --rate 5 10 20 --seconds 30
    maskrt bench --serve http://127.0.0.1:8000 --images photos/ --clients 8 --requests 10000
    maskrt bench model.onnx --serve http://127.0.0.1:8000 --images photos/ --clients 8 --rate 2x

tests a server under load. With --rate requests come at so many a second, whether it keeps up or not; with --clients
each client sends its next request when it has an answer; 2x is twice as many a second as these got. Each answer is
compared with the one to the same picture alone. Given the model file of the server, its `Segmenter.stream` takes turns
with the clients.

The results are bench.json (`maskrt.evaluation.results.bench`).

Exit code: 0, 1 where a side could not run a batch, or requests failed, got lost or were mixed up, 2 where nothing could
be done, 130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.files import check_writable, remove_stale
from maskrt.options import (
    add_image_options,
    add_key_option,
    add_model_files,
    add_output_option,
    add_source_options,
    add_thread_option,
    add_threshold_options,
    api_key,
    number,
    picture_size,
    positive,
    source_options,
    thresholds,
)
from maskrt.terminal import say

if TYPE_CHECKING:
    from maskrt.evaluation.bench.serving.measure import Clients, Rate

EXTRA = "maskrt[evaluate,cpu]"
INTERRUPTED_NOTE = "no result was written"

_LARGEST_BATCH = 1024
"""More pictures at a time would fill the memory before anything is measured."""

FAILED = 1
_REPEATS, _WARM_UP, _SECONDS = 30, 8, 30
_OF_LOAD = ("clients", "requests", "rate", "seconds", "score_threshold", "nms_threshold", "api_key_file")
_REQUESTS, _LOAD_TURNS, _MOST_CLIENTS = 100, 5, 256
AGAINST = {"pytorch": False, "pytorch-compile": True}
"""The ways of running PyTorch, and whether each compiles it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_model_files(parser, nargs="*")
    add_image_options(parser, what="image files, folders, quoted globs", limit=8)
    parser.add_argument(
        "--against",
        nargs="+",
        choices=AGAINST,
        default=[],
        help="the source model on the same device: eager in FP32, or torch.compile with FP16 autocast",
    )
    parser.add_argument("--batch-size", nargs="+", type=_batch, metavar="N", help="(default: 1)")
    parser.add_argument(
        "--size",
        nargs="+",
        type=picture_size,
        default=[],
        metavar="HEIGHTxWIDTH",
        help="stretch the pictures to these sizes (default: as they are)",
    )
    parser.add_argument(
        "--repeats",
        type=positive,
        metavar="N",
        help=f"turns measured (default: {_REPEATS}; of clients and a stream {_LOAD_TURNS})",
    )
    parser.add_argument(
        "--warm-up",
        type=positive,
        metavar="N",
        help=f"turns before them (default: {_WARM_UP}); requests of clients (default: a tenth of --requests)",
    )
    parser.add_argument(
        "--operations", action="store_true", help="also time single operations of the runtime, in at most 7 turns"
    )
    add_thread_option(parser)
    add_output_option(parser, Path("out/bench.json"), "file for the results")
    add_source_options(parser)
    serving = parser.add_argument_group("a server under load")
    serving.add_argument("--serve", metavar="URL", help="of `maskrt serve`, in place of model files")
    serving.add_argument("--clients", type=_clients, metavar="N", help="that wait for each answer")
    serving.add_argument(
        "--requests", type=positive, metavar="N", help=f"that the clients send, in each turn (default: {_REQUESTS})"
    )
    serving.add_argument(
        "--rate",
        nargs="+",
        type=_rate,
        metavar="R",
        help="requests a second, or 2x: times the answers that the clients got; one test for each",
    )
    serving.add_argument(
        "--seconds", type=positive, metavar="S", help=f"that the test of a rate lasts (default: {_SECONDS})"
    )
    add_threshold_options(serving)
    add_key_option(serving, "the key that the server asks for")


def run(options: argparse.Namespace) -> int:
    """Measure, write the results; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    _check(options)
    if options.serve is not None:
        return _run_load(options)
    from maskrt.evaluation.bench.run import PipelineRequest, Turns, measure, openers_of
    from maskrt.evaluation.results.files import write_result

    output: Path = options.output
    request = PipelineRequest(options.images or (), options.limit, options.batch_size or [1], options.size)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(output.parent)
        check_writable(output, [*options.models, *map(Path, options.images or ())])
        compiled = [AGAINST[side] for side in options.against]
        openers = openers_of(options.models, source_options(options), compiled, options.threads)
        turns = Turns(options.repeats or _REPEATS, options.warm_up or _WARM_UP)
        result = measure(openers, request, turns, threads=options.threads, operations=options.operations)
        write_result(output, result)
    except OSError as error:
        raise ArgumentError(f"{error.filename or output} cannot be written: {error.strerror or error}") from None
    for failure in result.failed:
        say(f"failed: {failure.name}, batch {failure.batch}: {failure.reason}", file=sys.stderr)
    say("", f"results: {output}")
    return FAILED if result.failed else 0


def _run_load(options: argparse.Namespace) -> int:
    from maskrt.evaluation.bench.serving.measure import Load, measure_serving
    from maskrt.evaluation.bench.sides import limit_opencv_threads
    from maskrt.evaluation.results.files import write_result
    from maskrt.runtime import Segmenter

    output: Path = options.output
    load = Load(
        url=options.serve,
        images=options.images,
        limit=options.limit,
        clients=_clients_of(options),
        rates=options.rate or (),
        seconds=options.seconds or _SECONDS,
        thresholds=thresholds(options),
        key=api_key(options),
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(output.parent)
        check_writable(output, [*options.models, *map(Path, options.images)])
        limit_opencv_threads(options.threads)
        segmenter = Segmenter(options.models[0], threads=options.threads) if options.models else None
        result = measure_serving(load, segmenter)
        write_result(output, result)
    except OSError as error:
        raise ArgumentError(f"{error.filename or output} cannot be written: {error.strerror or error}") from None
    say("", f"results: {output}")
    return FAILED if any(record.failed or record.lost or record.mixed_up for record in result.serving) else 0


def _clients_of(options: argparse.Namespace) -> Clients | None:
    from maskrt.evaluation.bench.serving.measure import Clients

    if options.clients is None:
        return None
    requests = options.requests or _REQUESTS
    return Clients(
        number=options.clients,
        requests=requests,
        warm_up=options.warm_up or math.ceil(requests / 10),
        turns=options.repeats or (_LOAD_TURNS if options.models else 1),
        batch_sizes=options.batch_size or [1],
    )


def _check(options: argparse.Namespace) -> None:
    """Check that there is something to measure, and that no option is passed over."""
    source = source_options(options)
    of_load = {f"--{name.replace('_', '-')}": getattr(options, name) for name in _OF_LOAD}
    if options.serve is None:
        for option, value in of_load.items():
            if value is not None:
                raise ArgumentError(f"{option} is for a server under load: give --serve URL, too.")
    else:
        _check_load(options)
        return
    if options.against and source is None:
        raise ArgumentError(
            "--against compares with the PyTorch model that the files were exported from: name it with --source, as "
            "for `maskrt export`."
        )
    if source is not None and not options.against:
        raise ArgumentError(f"--source {source.source} is for --against: give --against pytorch, too.")
    pipeline = options.models or options.against
    if not pipeline and not options.operations:
        raise ArgumentError("There is nothing to measure: give model files, --against pytorch, or --operations.")
    if pipeline and options.images is None:
        raise ArgumentError("There is nothing to measure on: give --images with files, folders or quoted globs.")
    if not pipeline and (options.images is not None or options.size):
        raise ArgumentError("--images and --size are for model files and --against, of which none is given.")


def _check_load(options: argparse.Namespace) -> None:
    def refuse(names: Sequence[str], why: str) -> None:
        for name in names:
            if getattr(options, name):
                option = "A model file" if name == "models" else f"--{name.replace('_', '-')}"
                raise ArgumentError(f"{option} {why}")

    refuse(("against", "size", "operations", "source"), "is nothing that a server is tested with: leave it out.")
    if len(options.models) > 1:
        raise ArgumentError(f"--serve takes one model file, that of the server, but got {len(options.models)}.")
    if not options.models:
        refuse(("batch_size", "repeats", "threads"), "is for the stream beside a server: give its model file, too.")
    if options.clients is None:
        refuse(("models", "requests", "warm_up"), "is for clients that a server is tested with: give --clients, too.")
        if any(rate.relative for rate in options.rate or ()):
            raise ArgumentError("A --rate such as 2x is a multiple of what clients got: give --clients, too.")
    if options.images is None or (options.rate is None and options.clients is None):
        raise ArgumentError("--serve needs --images to send, and --clients or --rate: how many requests a second.")


def _rate(text: str) -> Rate:
    from maskrt.evaluation.bench.serving.measure import Rate

    relative = text.endswith("x")
    return Rate(number(text.removesuffix("x"), 0.01, 100_000), relative)


def _clients(text: str) -> int:
    if (value := positive(text)) > _MOST_CLIENTS:
        raise argparse.ArgumentTypeError(f"expected at most {_MOST_CLIENTS:,}, got {text}")
    return value


def _batch(text: str) -> int:
    if (value := positive(text)) > _LARGEST_BATCH:
        raise argparse.ArgumentTypeError(f"expected at most {_LARGEST_BATCH:,}, got {text}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt bench`; return the exit code."""
    return run_verb("maskrt bench", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
