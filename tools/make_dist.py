"""A source distribution and the wheel that it gives: dist/maskrt-VERSION.tar.gz and …-py3-none-any.whl.

The wheel is built from the unpacked source distribution, so that neither has what the other lacks, and nothing of an
earlier build comes in. Nothing is downloaded: setuptools does it, in the version that is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.options import add_output_option

EXTRA = "setuptools"
INTERRUPTED_NOTE = "nothing was written"

ROOT = Path(__file__).resolve().parents[1]
_BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def make_dist(output: Path) -> tuple[Path, Path]:
    """Write both into a folder, which is made if it is missing; return the source distribution and the wheel.

    Raises:
        ArgumentError: maskrt does not run from a checkout, or setuptools is missing or fails.
        OSError: the folder cannot be written.
    """
    if not (ROOT / "pyproject.toml").is_file():
        raise ArgumentError(f"{ROOT} is no checkout of maskrt: a distribution is made in one.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout = _copy(folder / "checkout")
        source = _build(checkout, "build_sdist", folder)
        shutil.unpack_archive(source, folder)
        wheel = _build(folder / source.name.removesuffix(".tar.gz"), "build_wheel", folder)
        output.mkdir(parents=True, exist_ok=True)
        made = tuple(Path(shutil.move(path, output / path.name)) for path in (source, wheel))
    return made[0], made[1]


def _copy(folder: Path) -> Path:
    """Copy what belongs to the package, so that the checkout gets no folder of setuptools."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)  # links to folders become these
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def _build(folder: Path, hook: str, output: Path) -> Path:
    """Have setuptools build, in a process of its own: it works in the current folder."""
    command = [sys.executable, "-c", _BUILD, hook, str(output)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        *_, last = ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"]
        raise ArgumentError(f"setuptools could not make the distribution: {last}. `pip install --upgrade setuptools`.")
    return output / ended.stdout.split()[-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, Path("dist"), "folder")


def run(options: argparse.Namespace) -> int:
    """Make both; return the exit code.

    Raises:
        MaskrtError: it cannot be done here.
    """
    try:
        made = make_dist(options.output)
    except OSError as error:
        raise ArgumentError(f"Cannot write to {options.output}: {error.strerror or error}.") from None
    for path in made:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.tools.make_dist", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
