"""`maskrt doctor`: what works on this machine, what is missing, and what brings it.

It never fails: what is broken is part of the answer. Put it into a bug report.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from maskrt.command import run_verb
from maskrt.doctor.examine import as_text, examine
from maskrt.terminal import say

EXTRA = "maskrt"
INTERRUPTED_NOTE = "nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print what is found; return the exit code, which is 0."""
    answer = examine()
    say(*(json.dumps(answer, indent=2) if options.json else as_text(answer)).splitlines())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt doctor`; return the exit code."""
    return run_verb("maskrt doctor", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
