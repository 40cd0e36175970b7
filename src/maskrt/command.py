"""What the verbs of `maskrt` have in common: how they describe themselves, and how they end."""

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from maskrt.errors import DependencyError, MaskrtError, with_code
from maskrt.signals import interruptible
from maskrt.terminal import printable, say

USAGE = 2
"""Exit code where something the user gave does not work."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT. Also after SIGTERM and SIGHUP, which do the same."""


class Verb(Protocol):
    """A module that is a verb of `maskrt`: its documentation is the help, the first line the summary.

    Attributes:
        __doc__: the summary, and what else the help says below the options.
        EXTRA: what `pip install` brings what it needs.
        INTERRUPTED_NOTE: what Ctrl-C leaves behind.
    """

    __doc__: str | None
    EXTRA: str
    INTERRUPTED_NOTE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's options."""

    def run(self, options: argparse.Namespace) -> int:
        """Do the work; return the exit code where that goes well.

        Raises:
            MaskrtError: something the user gave does not work.
        """


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with arguments without passing on what they do to a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def documented_parser(prog: str, documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is a module's documentation: its first line above the options, the rest below."""
    description, _, rest = (documentation or "").partition("\n")
    return _Parser(
        prog=prog, description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_module(name: str, module: str, arguments: Sequence[str] | None = None) -> int:
    """Import a verb and run it, see `run_verb`; Ctrl-C ends also the imports with a sentence."""
    with interruptible():
        try:
            verb = importlib.import_module(module)
        except ImportError as error:
            if (error.name or "").startswith("maskrt."):  # the runtime alone is installed, as on a device
                text = "this is not part of the runtime alone: `pip install maskrt` brings it"
            else:
                text = f"this needs {error.name}: `pip install {error.name}`"
            print(f"{name}: {with_code(text, DependencyError.code)}", file=sys.stderr)
            return USAGE
        except KeyboardInterrupt:
            say(f"{name}: interrupted; nothing was done", file=sys.stderr)
            return INTERRUPTED
        return run_verb(name, verb, arguments)


def run_verb(name: str, verb: Verb, arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments of a verb and do its work; `name` begins its messages. The exit code.

    Args:
        name: of the command, for example "maskrt infer".
        verb: the module.
        arguments: None: those of the process.
    """

    def work() -> int:
        parser = documented_parser(name, verb.__doc__)
        verb.add_arguments(parser)
        return verb.run(parser.parse_args(arguments))

    return run_command(name, work, interrupted=verb.INTERRUPTED_NOTE, install=verb.EXTRA)


def run_command(name: str, run: Callable[[], int], *, interrupted: str, install: str = "maskrt") -> int:
    """Run a command and return its exit code; what the user has to know is one line on standard error.

    Args:
        name: of the command, which begins each message.
        run: does the work and returns the exit code where that goes well.
        interrupted: what Ctrl-C, SIGTERM or SIGHUP leave behind, for the message.
        install: what brings the packages that the work needs, for `pip install`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            return run()
    except MaskrtError as error:
        text = "\n".join(map(printable, str(error).split("\n")))
        print(f"{name}: {with_code(text, error.code)}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # `maskrt … | head`: nobody reads any more, not even this
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE
    except ImportError as error:
        if (error.name or "").startswith("maskrt."):
            raise  # a bug, not a package that is missing
        text = f"this needs {error.name}: `pip install {install}`"
        print(f"{name}: {with_code(text, DependencyError.code)}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        say(f"{name}: interrupted; {interrupted}", file=sys.stderr)
        return INTERRUPTED
