"""What the console commands share: how they describe themselves, numbers checked as they are read, and how they end."""

import argparse
import io
import math
import sys
from collections.abc import Callable

from maskrt.errors import MaskrtError

USAGE = 2
"""Exit code where something the user gave does not work."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


def documented_parser(prog: str, documentation: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with the first line of a module's documentation and ends with the rest, as written."""
    description, _, rest = (documentation or "").partition("\n")
    return argparse.ArgumentParser(
        prog=prog, description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_command(name: str, run: Callable[[], int], *, interrupted: str, install: str = "maskrt") -> int:
    """Run a command and return its exit code; what the user has to know is one line on standard error.

    Args:
        name: of the command, which begins each message.
        run: does the work and returns the exit code where that goes well.
        interrupted: what Ctrl-C leaves behind, for the message.
        install: what brings the packages that the work needs, for `pip install`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        return run()
    except MaskrtError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    except ImportError as error:
        if (error.name or "").startswith("maskrt."):
            raise  # a bug, not a package that is missing
        print(f"{name}: this needs {error.name}: `pip install {install}`", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"{name}: interrupted; {interrupted}", file=sys.stderr)
        return INTERRUPTED


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def number(text: str, low: float, high: float) -> float:
    """A number from `low` to `high`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected a number from {low:g} to {high:g}, got {text}")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    return number(text, 0, 1)
