"""The command `python -m maskrt.tools.gpu_check`; see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maskrt.options import positive
from maskrt.tools import gpu_check
from maskrt.tools.gpu_check.machine import REPOSITORY
from maskrt.tools.gpu_check.part import DONE, SKIPPED, Skip, require_gpu
from maskrt.tools.gpu_check.parts import PARTS
from maskrt.tools.gpu_check.run import RESULTS, run_parts

NO_GPU = 3


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when no part failed, 3 where there is no GPU, 1 otherwise."""
    options = _parser().parse_args(arguments)
    output: Path = options.output.resolve()
    carried: Path = (options.carried or output / "carried").resolve()
    if options.prepare:
        from maskrt.tools.gpu_check.carried import prepare

        prepare(carried)
        print(carried)
        return 0
    if not options.dry_run:
        try:
            require_gpu()
        except Skip as reason:
            print(f"gpu-check needs an NVIDIA GPU: {reason}. Nothing was checked.", file=sys.stderr)
            return NO_GPU
    output.mkdir(parents=True, exist_ok=True)
    chosen = [part for part in PARTS.values() if not options.part or part.name in options.part]
    results = run_parts(chosen, output, carried, options.budget, dry_run=options.dry_run)
    width = max(map(len, results))
    for name, result in results.items():
        print(f"{name:{width}}  {result.status:11}  {result.seconds:6.1f} s  {result.reason or ''}")
    print(f"{output / RESULTS}: `maskrt report` makes a page of it")
    return 0 if all(result.status in (DONE, SKIPPED) for result in results.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m maskrt.tools.gpu_check",
        description=gpu_check.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {part.name:14} {part.about}" for part in PARTS.values()),
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, metavar="PART", help="only these parts (default: all)")
    parser.add_argument("--budget", type=positive, metavar="SECONDS", help="for all parts together (default: no limit)")
    parser.add_argument("--dry-run", action="store_true", help="also without a GPU: each part says why it cannot run")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=REPOSITORY / "out" / "gpu-check",
        metavar="FOLDER",
        help="(default: out/gpu-check)",
    )
    parser.add_argument(
        "--carried", type=Path, metavar="FOLDER", help="what --prepare wrote (default: carried/ in the output folder)"
    )
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="without a GPU: write the folder of models, pictures and engines that some parts bring along",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
