"""Where the compiled libraries lie, and opening them."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from maskrt.plugins import abi

PLUGINS = "libmaskrt_plugins.so"
HOST = "libmaskrt_host.so"
RTX_SHIM = "rtx_shim/libtensorrt_rtx.so"
AUTOLOAD = "libmaskrt_autoload.so"

DIRECTORY_VARIABLE = "MASKRT_PLUGINS_DIR"
INSTALLED_DIRECTORY = Path(__file__).resolve().parent / "lib"
"""Where the wheel of an edge package (`maskrt.engines.package.cli`) puts the libraries."""
DEFAULT_DIRECTORY = Path(__file__).resolve().parents[1] / "build" / "plugins"


class PluginLibraryError(RuntimeError):
    """A library is missing or does not fit; the message says which command mends it."""


def directory() -> Path:
    """Name the libraries' folder: $MASKRT_PLUGINS_DIR, else the installed one, else build/plugins of the checkout."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return Path(named)
    return INSTALLED_DIRECTORY if INSTALLED_DIRECTORY.is_dir() else DEFAULT_DIRECTORY


def find(name: str, build_command: str = "make plugins") -> Path:
    """Find a library and return its path.

    Raises:
        PluginLibraryError: it is not there.
    """
    path = directory() / name
    if not path.is_file():
        raise PluginLibraryError(
            f"{path} does not exist. Run `{build_command}` (python -m maskrt.plugins.build), or set "
            f"{DIRECTORY_VARIABLE} to the folder that holds the compiled libraries."
        )
    return path


def open_library(path: Path) -> ctypes.CDLL:
    """Open a library of ours and check that its interface is the one this Python code was written for.

    Raises:
        PluginLibraryError: it cannot be opened, or is of another version.
    """
    try:
        if not _is_whole_elf_file(path):
            raise PluginLibraryError(f"{path} is truncated or no library at all. Run `make plugins`.")
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise PluginLibraryError(f"{path} cannot be loaded: {error}. Run `make plugins` on this machine.") from error
    try:
        version = library.maskrt_abi_version()
    except AttributeError as error:
        raise PluginLibraryError(f"{path} is not a library of maskrt. Run `make plugins`.") from error
    if version != abi.ABI_VERSION:
        raise PluginLibraryError(
            f"{path} has interface version {version}, but this maskrt needs {abi.ABI_VERSION}. Run `make plugins`."
        )
    return library


def _is_whole_elf_file(path: Path) -> bool:
    """Tell whether the file reaches to the end of its section table, its last part.

    The process dies (SIGBUS) when it opens a library that was cut off.
    """
    with path.open("rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:4] != b"\x7fELF":
        return False
    (table,) = struct.unpack_from("<Q", header, 0x28)
    entry_size, entries = struct.unpack_from("<HH", header, 0x3A)
    return path.stat().st_size >= table + entry_size * entries
