"""What libheif writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from maskrt.tools.reading_audit.variants import Variant, picture


def heif_variants() -> Iterator[Variant]:
    """HEIC and AVIF, which are refused."""
    program = shutil.which("heif-enc")
    if program is None:
        return
    for name, options in (("a.heic", ()), ("a.heic", ("-L",)), ("a.avif", ("-A",)), ("a.jpg", ())):

        def write(path: Path, options: Sequence[str] = options) -> None:
            source = path.with_name("source.png")
            Image.fromarray(picture()).save(source)
            target = path.with_name("target.avif" if "-A" in options else "target.heic")
            subprocess.run([program, *options, source, "-o", target], check=True, capture_output=True, timeout=60)
            target.replace(path)

        yield Variant("libheif", name, " ".join(options) or "HEVC", write, None)
