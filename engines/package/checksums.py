"""The file by which `sha256sum --check` tells a package that came whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

CHECKSUMS = "SHA256SUMS"


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Return the content of the file, for files by their path beside it."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return "".join(lines).encode()
