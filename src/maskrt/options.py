"""Options that several verbs share: one name for one meaning, and the values that they stand for.

A verb adds the groups that it needs to its parser, and turns what was parsed into values at once: no
`argparse.Namespace` travels further than the verb's `run`.
"""

import argparse
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrt.errors import ArgumentError
from maskrt.files import read_text_file

LARGEST_PICTURE = 200_000_000
"""Pixels; `maskrt.runtime.images.read` decodes no larger one either."""


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def named(text: str) -> str:
    """Take a name that is not empty: that of a shell's variable that is not set would be the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one")
    return text


def named_path(text: str) -> Path:
    """Parse a path that is not empty."""
    return Path(named(text))


def number(text: str, low: float, high: float) -> float:
    """Parse a number from `low` to `high`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected a number from {low:g} to {high:g}, got {text}")
    return value


def fraction(text: str) -> float:
    """Parse a number from 0 to 1."""
    return number(text, 0, 1)


def picture_size(text: str) -> tuple[int, int]:
    """Parse the (height, width) of a picture in pixels."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, as in 800x1333, got {text}")
    if int(match[1]) * int(match[2]) > LARGEST_PICTURE:
        raise argparse.ArgumentTypeError(f"expected at most {LARGEST_PICTURE:,} pixels, got {text}")
    return int(match[1]), int(match[2])


def _threads(text: str) -> int:
    """Parse a number of threads: more than cores gain nothing, and many more than the system allows end the process."""
    return min(positive(text), os.cpu_count() or 1)


@dataclass(frozen=True)
class SourceOptions:
    """What names a source model.

    Attributes:
        source: a model's name, `package.module:factory`, or a checkpoint that says itself what it is.
        weights: name of weights that the framework publishes.
        checkpoint: file with the weights.
        checkpoint_key: of those weights, where the file holds several sets.
        config: file with the settings, of a framework whose checkpoints do not hold them.
        num_classes: with the background.
        class_names: file with one name a line.
    """

    source: str
    weights: str | None = None
    checkpoint: Path | None = None
    checkpoint_key: str | None = None
    config: Path | None = None
    num_classes: int | None = None
    class_names: Path | None = None


@dataclass(frozen=True)
class Thresholds:
    """Score and NMS threshold, 0 to 1; None: the model's own."""

    score: float | None = None
    nms: float | None = None


def add_source_options(parser: argparse.ArgumentParser, *, positional: bool = False) -> None:
    """Add the source model: `SOURCE` where the verb works on it, `--source SOURCE` where it is the reference."""
    group = parser.add_argument_group("the source model")
    what = (
        "a model's name (torchvision's; detectron2:NAME and mmdet:NAME of their zoos), a checkpoint of detectron2 "
        "(with --config) or of mmdetection, or package.module:factory"
    )
    if positional:
        parser.add_argument("source", metavar="SOURCE", help=what)
    else:
        group.add_argument("--source", metavar="SOURCE", help=what)
    group.add_argument("--weights", metavar="NAME", help="the framework's own weights, for example COCO_V1")
    group.add_argument(
        "--checkpoint",
        type=named_path,
        metavar="FILE",
        help="weights in a file; give --weights too if they were fine-tuned from these",
    )
    group.add_argument(
        "--checkpoint-key",
        metavar="KEY",
        help="which weights, where a checkpoint holds several sets: ema, teacher, … (default: the model's own)",
    )
    group.add_argument(
        "--config", type=named_path, metavar="FILE", help="settings of the model, where the framework has them"
    )
    group.add_argument(
        "--num-classes", type=positive, metavar="N", help="with the background (default: the checkpoint's)"
    )
    group.add_argument("--class-names", type=named_path, metavar="FILE", help="one name a line, without the background")


def source_options(options: argparse.Namespace) -> SourceOptions | None:
    """Return what `add_source_options` parsed; None where no source was given.

    Raises:
        ArgumentError: there is no source, but something that belongs to one.
    """
    details = {
        name: getattr(options, name)
        for name in ("weights", "checkpoint", "checkpoint_key", "config", "num_classes", "class_names")
    }
    if options.source is not None:
        return SourceOptions(options.source, **details)
    for name, value in details.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise ArgumentError(f"{option} {value} says more about a source model, but none is named: give --source.")
    return None


def add_images_option(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, what: str, required: bool = False
) -> None:
    """Add `--images PATH...`."""
    parser.add_argument("--images", nargs="+", type=named, required=required, metavar="PATH", help=what)


def add_image_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, what: str, limit: int | None = None
) -> None:
    """Add `--images PATH...` and `--limit N`; `limit` is how many are taken by default, None: all."""
    add_images_option(parser, what=what)
    default = "all" if limit is None else limit
    parser.add_argument(
        "--limit", type=positive, default=limit, metavar="N", help=f"take N images at most (default: {default})"
    )


def add_threshold_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--score-threshold` and `--nms-threshold`."""
    parser.add_argument("--score-threshold", type=fraction, metavar="S", help="least score, 0-1 (default: the model's)")
    parser.add_argument(
        "--nms-threshold", type=fraction, metavar="IOU", help="greatest overlap, 0-1 (default: the model's)"
    )


def thresholds(options: argparse.Namespace) -> Thresholds:
    """Return what `add_threshold_options` parsed."""
    return Thresholds(options.score_threshold, options.nms_threshold)


def add_thread_option(parser: argparse.ArgumentParser) -> None:
    """Add `--threads`."""
    parser.add_argument("--threads", type=_threads, metavar="N", help="CPU threads, at most one per core (the default)")


def add_key_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str) -> None:
    """Add `--api-key-file`: a file, since what stands on a command line is there for all to see."""
    parser.add_argument("--api-key-file", type=named_path, metavar="FILE", help=what)


def api_key(options: argparse.Namespace) -> str | None:
    """Read the key that `add_key_option` named; None: there is none.

    Raises:
        ArgumentError: the file cannot be read, or holds no line of at least 8 printable characters.
    """
    path: Path | None = options.api_key_file
    if path is None:
        return None
    key = read_text_file(path, "API key", ArgumentError).strip()
    if not re.fullmatch(r"[!-~]{8,}", key):
        raise ArgumentError(f"{path}: expected a key of at least 8 characters, ASCII without spaces, on one line.")
    return key


def add_output_option(parser: argparse.ArgumentParser, default: Path | None, what: str) -> None:
    """Add `-o`, `--output`; a default of None is explained by `what`."""
    shown = "" if default is None else f" (default: {default})"
    parser.add_argument("-o", "--output", type=named_path, default=default, metavar="PATH", help=f"{what}{shown}")


def add_model_files(
    parser: argparse.ArgumentParser, *, nargs: str | int, what: str = "model file: .onnx, .engine or .openvino.xml"
) -> None:
    """Add the model files that a verb works on, as `models`."""
    parser.add_argument("models", nargs=nargs, type=named_path, metavar="MODEL", help=what)


def names_of(files: Sequence[Path]) -> list[str]:
    """Return a name for each file that no other one has: its own, or its path where two are called the same."""
    own = [file.name for file in files]
    return [str(file) if own.count(file.name) > 1 else file.name for file in files]
