"""Do pictures and videos look to maskrt as they do to others? Hundreds of variants, each read by it and by a reference.

    python -m maskrt.tools.reading_audit
    python -m maskrt.tools.reading_audit --limit 60

Variants are written by Pillow, tifffile and PyAV (FFmpeg), and by ImageMagick, `ffmpeg` and `heif-enc` where these
commands are installed: bit depths, sample formats, colour models, orientations, pages, planes, compressions,
progressive and interlaced files, aspects, ranges, alpha. The reference is Pillow (tifffile for what Pillow does not
read), and FFmpeg for videos. Each variant is equal within `TOLERANCE` grey levels, or refused with a sentence, or
different; what is lossy twice (a colour model converted by two programs) may differ by more in a few pixels.

Exit code: 0, 1 where a variant is different.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from maskrt.command import run_verb
from maskrt.options import positive
from maskrt.tools.reading_audit.audit import audit, table
from maskrt.tools.reading_audit.writers import all_variants

EXTRA = "maskrt[dev]"
INTERRUPTED_NOTE = "nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--limit", type=positive, metavar="N", help="of the variants, evenly spread (default: all)")
    parser.add_argument("--refusals", action="store_true", help="show the sentence of each refusal")


def run(options: argparse.Namespace) -> int:
    """Print the table and what is different; return the exit code."""
    variants = all_variants()
    if options.limit is not None and options.limit < len(variants):
        variants = [variants[number * len(variants) // options.limit] for number in range(options.limit)]
    findings = audit(variants)
    for finding in findings:
        if finding.outcome == "different" or (options.refusals and finding.outcome == "refused"):
            variant = finding.variant
            print(f"{finding.outcome}: {variant.writer}, {variant.name}, {variant.what}: {finding.detail}")
    print(table(findings))
    return int(any(finding.outcome == "different" for finding in findings))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.tools.reading_audit", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
