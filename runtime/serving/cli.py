"""Serve a model: a page to try it, and an interface for programs, on one machine.

    maskrt serve model.onnx

answers at http://127.0.0.1:8000: the page at /, `POST /predict` with a picture (JSON with COCO records, or an overlay),
the KServe protocol, version 2, under /v2 (`maskrt.client` speaks it), Prometheus metrics at /metrics, the interface as
OpenAPI at /openapi.json.

    curl --data-binary @street.jpg "http://127.0.0.1:8000/predict?score_threshold=0.5"

Requests that come at the same time are run together, each with its own thresholds; results are those of `maskrt infer`.
When more pictures wait than --queue, others are asked to come back (503 with Retry-After). Only this machine is
answered unless --host says otherwise.

Exit code: 0 after Ctrl-C, SIGTERM or SIGHUP, when what was taken is finished, 2 where it cannot serve (usage, model,
port), 130 after a second signal, which does not wait.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.options import add_key_option, add_model_files, add_thread_option, api_key, number, picture_size, positive
from maskrt.runtime.serving.settings import Batching, Limits
from maskrt.terminal import say

EXTRA = "maskrt[serve]"
INTERRUPTED_NOTE = "requests that were being worked on got no answer"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt serve`; return the exit code."""
    return run_verb("maskrt serve", sys.modules[__name__], arguments)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    limits, batching = Limits(), Batching()
    add_model_files(parser, nargs=1)
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="(default: %(default)s, this machine)")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="0: a free one (default: %(default)s)")
    add_key_option(parser, "a key that requests have to show: `Authorization: Bearer KEY`")
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=batching.size,
        metavar="N",
        help="pictures in a run at the most (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-delay",
        type=_milliseconds,
        default=1000 * batching.delay,
        metavar="MS",
        help="time that a picture waits for others where the model is idle (default: %(default)g)",
    )
    parser.add_argument(
        "--queue",
        type=positive,
        default=limits.queue,
        metavar="N",
        help="pictures that wait or are worked on; others are refused (default: %(default)s)",
    )
    parser.add_argument(
        "--max-bytes", type=positive, default=limits.max_bytes, metavar="N", help="of a request (default: %(default)s)"
    )
    parser.add_argument(
        "--max-pixels",
        type=positive,
        default=limits.max_pixels,
        metavar="N",
        help="of a picture (default: %(default)s)",
    )
    parser.add_argument(
        "--warm-up",
        type=picture_size,
        nargs="+",
        default=[],
        metavar="HEIGHTxWIDTH",
        help="sizes of pictures to be ready for before the first request (default: a square)",
    )
    add_thread_option(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes; return the exit code.

    Raises:
        MaskrtError: it cannot serve.
    """
    import cv2

    from maskrt.runtime.segmenter import Segmenter
    from maskrt.runtime.serving.server import Server, listen, model_name, names_of, url_of

    model: Path = options.models[0]
    limits = Limits(max_bytes=options.max_bytes, max_pixels=options.max_pixels, queue=options.queue)
    batching = Batching(options.batch_size, options.batch_delay / 1000)
    key = api_key(options)
    listener = listen(options.host, options.port)
    url = url_of(listener)
    if names_of(listener) is None and key is None:
        say(f"maskrt serve: {url} answers everybody who can reach it; --api-key-file asks for a key.", file=sys.stderr)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own messages say it better
    if options.threads is not None:
        cv2.setNumThreads(options.threads)

    def open_model() -> Segmenter:
        segmenter = Segmenter(model, threads=options.threads)
        side = segmenter.metadata.pipeline.resize.min_size or 640
        sizes = options.warm_up or [(side, side)]
        segmenter.warm_up([(count, *size) for count in (1, batching.size) for size in sizes])
        return segmenter

    def ready(segmenter: Segmenter) -> None:
        say(f"{segmenter!r}", f"ready: {url}")

    say(f"loading {model}")
    Server(listener, open_model, model_name(model), limits, batching, key=key, on_ready=ready).run()
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text}")
    return int(text)


def _milliseconds(text: str) -> float:
    return number(text, 0, 1000)


if __name__ == "__main__":
    sys.exit(main())
