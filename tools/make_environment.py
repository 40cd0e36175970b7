"""`make install`: a virtual environment with maskrt and what some extras bring, in the versions of a constraints file.

It runs before anything is installed, with Python alone. What pip says goes into install.log in the environment; here
there are a line for each stage and, on a terminal, what pip is at. Where pip fails, the end of the log is shown.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

LOG = "install.log"
_LAST_LINES = 15
_WIDTH = 78
_STAGES = {
    "Collecting": "looking for",
    "Downloading": "downloading",
    "Using cached": "taking from the cache",
    "Building wheel": "building",
    "Installing collected packages:": "installing",
}
"""The beginnings of pip's lines, and what is said of them."""


class Narrator:
    """Says what pip is at: in place on a terminal, and else a line for each stage that takes long."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._is_terminal = sys.stdout.isatty()

    def hear(self, line: str) -> None:
        """Take a line of pip's."""
        text = line.strip()
        begin = next((begin for begin in _STAGES if text.startswith(begin)), None)
        if begin is None:
            return
        rest = text.removeprefix(begin).strip()
        if begin == "Installing collected packages:":
            count = len(rest.split(","))
            self.say(f"installing {count} package{'' if count == 1 else 's'}")
        elif self._is_terminal:
            what = re.sub(r"\s*\(from .*", "", rest)
            print(f"\r{self._time()} {_STAGES[begin]} {what}"[:_WIDTH].ljust(_WIDTH), end="", flush=True)

    def say(self, text: str) -> None:
        """Print a line."""
        start = "\r" if self._is_terminal else ""
        print(f"{start}{self._time()} {text}".ljust(_WIDTH if self._is_terminal else 0), flush=True)

    def _time(self) -> str:
        return f"  [{time.monotonic() - self._started:4.0f} s]"


def make(environment: Path, what: str, alone: Sequence[str], constraints: Path) -> int:
    """Make it; return the exit code.

    Args:
        environment: folder of the virtual environment.
        what: to install, as pip takes it behind `--editable`.
        alone: packages to install without what they require.
        constraints: file with the versions.
    """
    print(f"Making the environment {environment}: what pip says is in {environment / LOG}", flush=True)
    narrator = Narrator()
    venv = subprocess.run([sys.executable, "-m", "venv", str(environment)], capture_output=True, text=True, check=False)
    if venv.returncode:
        print(f"{venv.stdout}{venv.stderr}", file=sys.stderr)
        print(
            "The environment cannot be made; on Debian, `apt install python3-venv` brings what is missing.",
            file=sys.stderr,
        )
        return 2
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--constraint", str(constraints)]
    pip += ["--disable-pip-version-check", "--progress-bar", "off"]
    narrator.say("collecting packages; torch and its CUDA libraries are the most of it")
    with (environment / LOG).open("w", encoding="utf-8") as log:
        for words in (["setuptools"], ["--editable", what], *([["--no-deps", *alone]] if alone else [])):
            code = _run([*pip, *words], log, narrator)
            if code:
                lines = (environment / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
                print("\n".join(lines), file=sys.stderr)
                print(f"pip ended with {code}; all that it said is in {environment / LOG}.", file=sys.stderr)
                return 2
    narrator.say(f"done: {_size(environment) / 1e9:.1f} GB")
    return 0


def _run(command: Sequence[str], log: TextIO, narrator: Narrator) -> int:
    """Run pip; what it says goes to the log and to the narrator."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", file=log, flush=True)
            narrator.hear(line)
    return process.returncode


def _size(folder: Path) -> int:
    """Bytes on the disk of all files, each once."""
    found = (path.lstat() for path in folder.rglob("*"))
    return sum({(status.st_dev, status.st_ino): status.st_blocks * 512 for status in found}.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    description, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description, epilog=rest)
    parser.add_argument("environment", type=Path, help="folder")
    parser.add_argument("what", help='what to install, for example ".[cpu,export]"')
    parser.add_argument("--alone", nargs="+", default=[], metavar="PACKAGE", help="without what these require")
    parser.add_argument("--constraints", type=Path, default=Path("constraints.txt"), help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    return make(options.environment, options.what, options.alone, options.constraints)


if __name__ == "__main__":
    sys.exit(main())
