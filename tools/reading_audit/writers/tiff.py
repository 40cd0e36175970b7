"""What tifffile writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from maskrt.tools.reading_audit.references import as_given
from maskrt.tools.reading_audit.variants import Variant, picture


def tifffile_variants() -> Iterator[Variant]:
    """Sample formats, planes, tiles, byte orders, pages, thumbnails."""
    image = picture()

    def variant(
        what: str, data: np.ndarray, expected: np.ndarray | None, file: dict[str, Any] | None = None, **options: Any
    ) -> Variant:
        def write(path: Path) -> None:
            with tifffile.TiffWriter(path, **(file or {})) as writer:
                writer.write(data, **options)

        return Variant("tifffile", "a.tif", what, write, None if expected is None else as_given(expected))

    grey = np.repeat(image[..., :1], 3, axis=2)
    for dtype, scale in (("u1", 1), ("u2", 257)):
        for planar in ("contig", "separate"):
            for channels in (3, 4):
                for tile in (None, (16, 16), (32, 48)):
                    for compression in (None, "zlib"):
                        for order in "<>":
                            values = np.dstack((image, image[..., :1]))[..., :channels].astype(dtype) * np.array(
                                scale, dtype
                            )
                            data = np.moveaxis(values, -1, 0).copy() if planar == "separate" else values
                            extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
                            yield variant(
                                f"{dtype}, {channels} samples, {planar}, tile {tile}, {compression}, {order}",
                                data,
                                image,
                                {"byteorder": order},
                                photometric="rgb",
                                planarconfig=planar,
                                tile=tile,
                                compression=compression,
                                **extra,
                            )
        for photometric, expected in (("minisblack", grey), ("miniswhite", 255 - grey)):
            for big in (False, True):
                for rows in (None, 1, 7):
                    yield variant(
                        f"{dtype}, {photometric}, rows {rows}{', BigTIFF' if big else ''}",
                        image[..., 0].astype(dtype) * np.array(scale, dtype),
                        expected,
                        {"bigtiff": big},
                        photometric=photometric,
                        rowsperstrip=rows,
                    )
    for alpha in ("unassalpha", "assocalpha", "unspecified"):
        for base, photometric, expected in ((image, "rgb", image), (image[..., :1], "minisblack", grey)):
            data = np.dstack((base, image[..., 1:2]))
            yield variant(
                f"{photometric} with {alpha}",
                data,
                expected,
                photometric=photometric,
                planarconfig="contig",
                extrasamples=[alpha],
            )
    for dtype in ("i1", "i2", "i4", "u4", "u8", "i8", "f2", "f4", "f8", "c8"):
        for photometric, base in (("rgb", image), ("minisblack", image[..., 0])):
            yield variant(f"{photometric} of {dtype}", base.astype(dtype), None, photometric=photometric)
    for bands in (3, 5, 6, 13):
        data = np.repeat(image[..., :1], bands, axis=2)
        yield variant(f"{bands} bands", data, None, photometric="minisblack", planarconfig="contig")
    for photometric in ("cielab", "icclab", "itulab", "logl", "logluv", "mask"):
        data = image if photometric in ("cielab", "icclab", "itulab", "logluv") else image[..., 0]
        yield variant(f"colours {photometric}", data, None, photometric=photometric)
    yield from _pages(image)


def _pages(image: np.ndarray) -> Iterator[Variant]:
    small = image[::4, ::4].copy()
    sets: list[tuple[str, list[tuple[np.ndarray, int]], bool]] = [
        ("a thumbnail in front", [(small, 1), (image, 0)], True),
        ("a thumbnail in front, unmarked", [(small, 0), (image, 0)], True),
        ("a thumbnail behind", [(image, 0), (small, 1)], True),
        ("a pyramid", [(image, 0), (image[::2, ::2].copy(), 1), (small, 1)], True),
        ("a mask behind", [(image, 0), (image, 4)], True),
        ("a thumbnail alone", [(image, 1)], True),
        ("pages of a document", [(image, 2), (image, 2), (image, 2)], False),
        ("a stack", [(image, 0)] * 5, False),
        ("pages of two sizes", [(image[:, :60].copy(), 0), (image, 0)], False),
    ]
    for what, pages, is_one in sets:

        def write(path: Path, pages: list[tuple[np.ndarray, int]] = pages) -> None:
            with tifffile.TiffWriter(path) as writer:
                for data, kind in pages:
                    writer.write(data, photometric="rgb", subfiletype=kind, metadata=None)

        yield Variant("tifffile", "a.tif", what, write, as_given(image) if is_one else None)
    for name in ("a.dng", "a.nef", "a.tif"):

        def raw(path: Path) -> None:
            with tifffile.TiffWriter(path) as writer:
                writer.write(small, photometric="rgb", subfiletype=1, subifds=1)
                pattern = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
                writer.write(image[..., 0].astype(np.uint16), photometric=32803, subfiletype=0, extratags=pattern)

        yield Variant("tifffile", name, "a camera's raw data", raw, None)
