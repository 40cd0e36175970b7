"""Find instances in many pictures, on the machines of a Ray cluster.

    python -m maskrt.ray photos/ --model model.onnx --output out/ray --num-gpus 1

writes out/ray/part-000000.parquet and so on, a row for each picture: its name, its size, the instances as COCO records,
or the error. Each part is written whole when its pictures are done; a run that was stopped goes on with --resume, and
an actor or a machine that dies costs time, but no picture. Without a cluster (--address, RAY_ADDRESS), one is started
on this machine. The pictures and the model are read by the machines of the cluster, at the same paths.

Exit code: 0 all pictures done, 1 some failed, 2 nothing could be done, 130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.contract.manifest import sha256_of
from maskrt.errors import ArgumentError, DependencyError, MaskrtError
from maskrt.options import add_output_option, add_threshold_options, number, positive, thresholds
from maskrt.ray.blocks import Block, run_blocks
from maskrt.ray.output import FORMATS, Output, left_over
from maskrt.ray.predictor import Predictor
from maskrt.ray.rows import Row, name_of
from maskrt.runtime.inference.find import find_images
from maskrt.terminal import say

EXTRA = "maskrt[ray]"
INTERRUPTED_NOTE = "finished parts are written; --resume goes on"


@dataclass(frozen=True)
class Resources:
    """What an actor takes, and how many there are.

    Attributes:
        cpus, gpus: of each actor.
        actors: None: as many as the cluster has room for.
    """

    cpus: int = 1
    gpus: float = 0.0
    actors: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures, folders, quoted globs")
    parser.add_argument("--model", type=Path, required=True, help="model file: .onnx, .engine or .openvino.xml")
    add_output_option(parser, Path("out/ray"), "folder of the results")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the parts (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    add_threshold_options(parser)
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="pictures per run (default: 4)")
    parser.add_argument(
        "--block-size", type=positive, default=256, metavar="N", help="pictures in a part (default: %(default)s)"
    )
    group = parser.add_argument_group("the cluster")
    group.add_argument("--address", metavar="HOST:PORT", help="(default: RAY_ADDRESS, or a new cluster here)")
    group.add_argument("--num-gpus", type=_gpus, default=0.0, metavar="X", help="GPUs of an actor (default: 0)")
    group.add_argument("--num-cpus", type=positive, default=1, metavar="N", help="CPUs of an actor (default: 1)")
    group.add_argument("--actors", type=positive, metavar="N", help="(default: as many as there is room for)")


def _gpus(text: str) -> float:
    return number(text, 0, 1024)


def run(options: argparse.Namespace) -> int:
    """Find the pictures, and work through those that are left.

    Raises:
        MaskrtError: nothing can be done with what the user gave.
    """
    found, problems = find_images(options.inputs)
    files = list({path.absolute(): path for path in found}.values())  # each once, by whatever name
    say(*problems, file=sys.stderr)
    if not files:
        raise ArgumentError("There is nothing to do: no picture was found.")
    given = thresholds(options)
    settings = {
        "batch_size": options.batch_size,
        "score_threshold": given.score,
        "nms_threshold": given.nms,
        "threads": options.num_cpus,
    }
    ray = _import_ray()
    if not options.model.is_file():
        raise ArgumentError(f"{options.model}: there is no such model file.")
    about = {"model_sha256": sha256_of(options.model), "score_threshold": given.score, "nms_threshold": given.nms}
    with closing(Output(options.output, options.format, about, resume=options.resume)) as output:
        left = left_over(files, output.done())
        if len(left) < len(files):
            say(f"{len(files) - len(left)} of {len(files)} pictures done before.")
        failed = 0
        if left:
            started = not ray.is_initialized()
            if started:
                _start(ray, options.address)
            try:
                resources = Resources(options.num_cpus, options.num_gpus, options.actors)
                failed = _work(ray, str(options.model.resolve()), settings, resources, left, output, options.block_size)
            finally:
                if started:
                    ray.shutdown()
    say(f"{len(left) - failed} pictures, {failed} failed. Rows: {options.output}/part-*.{options.format}")
    return 1 if failed or problems else 0


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise DependencyError("A cluster needs Ray: `pip install maskrt[ray]`.") from None
    return ray


def _start(ray: Any, address: str | None) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=True)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        where = "A cluster could not be started" if address is None else f"There is no cluster at {address}"
        raise MaskrtError(f"{where}: {reason}") from None


def _work(
    ray: Any,
    model: str,
    settings: dict[str, Any],
    resources: Resources,
    paths: Sequence[str],
    output: Output,
    block_size: int,
) -> int:
    """Work through the pictures; return how many failed."""
    names = {str(Path(path).absolute()): path for path in paths}
    pictures = list(names)
    blocks = [
        Block(output.next_number(), pictures[start : start + block_size])
        for start in range(0, len(pictures), block_size)
    ]
    remote = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(Predictor)
    actors = min(_actors(ray, resources), len(blocks))
    failed, done = 0, 0

    def finished(block: Block, rows: list[Row]) -> None:
        nonlocal failed, done
        for path, row in zip(block.paths, rows, strict=True):
            row["file_name"] = name_of(names[path])
            if row["error"] is not None:
                say(f"failed: {names[path]}: {row['error']}", file=sys.stderr)
        output.write(block.number, rows)
        failed += sum(row["error"] is not None for row in rows)
        done += 1
        say(f"part {block.number}: {len(rows)} pictures; {done} of {len(blocks)} parts.", file=sys.stderr)

    run_blocks(lambda: remote.remote(model, **settings), actors, blocks, finished)
    return failed


def _actors(ray: Any, resources: Resources) -> int:
    """Return how many actors there are to be.

    Raises:
        ArgumentError: more than the machines have room for.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        int(min(machine.get("CPU", 0) // resources.cpus, _part(machine.get("GPU", 0), resources.gpus)))
        for machine in machines
    )
    if room < (resources.actors or 1):
        cpus, gpus = (int(sum(machine.get(kind, 0) for machine in machines)) for kind in ("CPU", "GPU"))
        raise ArgumentError(
            f"The cluster has room for {room} actors of {resources.cpus} CPUs and {resources.gpus:g} GPUs: it has "
            f"{cpus} CPUs and {gpus} GPUs on {len(machines)} machines. Give other --num-cpus, --num-gpus or --actors."
        )
    return resources.actors or room


def _part(gpus: float, each: float) -> float:
    """Return how many actors the GPUs of a machine are enough for."""
    return gpus // each if each else math.inf
