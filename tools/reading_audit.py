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
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageOps

from maskrt.command import run_verb
from maskrt.errors import MaskrtError
from maskrt.options import positive
from maskrt.runtime import read_image
from maskrt.runtime.video.reader import VideoReader

EXTRA = "maskrt[dev]"
INTERRUPTED_NOTE = "nothing was written"

TOLERANCE = 1
"""Grey levels, in at least `_SHARE` of the values: conversions round differently."""
_SHARE = 0.99

Write = Callable[[Path], None]
Read = Callable[[Path], "list[np.ndarray]"]


@dataclass(frozen=True)
class Variant:
    """A file to be read.

    Attributes:
        writer: the program that writes it.
        name: of the file; the suffix tells the program what to write.
        what: is special about it.
        write: makes the file; raises where this version of the program cannot.
        reference: reads it as others do, a picture or the frames of a video; None where only a refusal will do.
        tolerance: in grey levels, where decoders are free to differ.
    """

    writer: str
    name: str
    what: str
    write: Write
    reference: Read | None
    tolerance: int = TOLERANCE


@dataclass(frozen=True)
class Finding:
    """How a variant came out: "equal", "refused" or "different", and the sentence or the difference."""

    variant: Variant
    outcome: str
    detail: str


def picture(height: int = 48, width: int = 72) -> np.ndarray:
    """Smooth colours in all directions, so that every turn, swap and shift of channels shows: [H, W, 3] uint8."""
    y, x = np.mgrid[:height, :width]
    channels = (255 * x / (width - 1), 255 * y / (height - 1), 255 * (x + y) / (height + width - 2))
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def with_pillow(path: Path) -> list[np.ndarray]:
    """Read as Pillow does, turned as EXIF says, alpha left away."""
    with Image.open(path) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.uint32) + 128) // 257
            return [np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)]
        if image.mode == "RGBA":
            return [np.asarray(image)[..., :3]]
        return [np.asarray(image.convert("RGB"))]


def as_given(image: np.ndarray) -> Read:
    """Take this for the reference, where the writer is lossless."""
    return lambda path: [image]


def compare(variant: Variant, folder: Path) -> Finding | None:
    """Write a variant and read it; None where the writer cannot write it."""
    path = folder / variant.name
    path.unlink(missing_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            variant.write(path)
    except Exception:  # of whatever kind: the variant is one that this version of the writer does not have
        return None
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        ours = _read(path)
    except MaskrtError as error:
        return Finding(variant, "refused", str(error).replace(str(folder), ""))
    if variant.reference is None:
        return Finding(variant, "different", f"read as {ours[0].shape}, but should be refused")
    theirs = variant.reference(path)
    if [image.shape for image in ours] != [image.shape for image in theirs]:
        shapes = f"{len(ours)} of {ours[0].shape}", f"{len(theirs)} of {theirs[0].shape if theirs else ()}"
        return Finding(variant, "different", f"read as {shapes[0]}, by others as {shapes[1]}")
    differences = [np.abs(one.astype(int) - other) for one, other in zip(ours, theirs, strict=True)]
    share = min(float((difference <= variant.tolerance).mean()) for difference in differences)
    largest = max(int(difference.max()) for difference in differences)
    outcome = "equal" if share >= _SHARE else "different"
    return Finding(variant, outcome, f"{share:.1%} within {variant.tolerance}, at most {largest}")


def _read(path: Path) -> list[np.ndarray]:
    if path.suffix in (".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts"):
        with VideoReader(str(path), threads=1) as reader:
            return [reader.to_rgb(frame) for frame in reader.pictures()]
    return [read_image(path)]


# --- What Pillow writes ---


def pillow_variants() -> Iterator[Variant]:
    """Every colour model and option of the formats that are read, and each orientation."""
    colour = Image.fromarray(picture())
    alpha = Image.fromarray(np.dstack((picture(), picture()[..., 0])))

    def variant(name: str, what: str, image: Image.Image, tolerance: int = TOLERANCE, **options: Any) -> Variant:
        return Variant("Pillow", name, what, lambda path: image.save(path, **options), with_pillow, tolerance=tolerance)

    modes = {mode: colour.convert(mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr")}
    modes |= {"LA": alpha.convert("LA"), "PA": alpha.convert("PA"), "RGBA": alpha}
    grey16 = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257)
    for suffix in ("png", "bmp", "gif", "tif", "jpg", "webp"):
        for mode, image in modes.items():
            lossy = 3 if suffix in ("jpg", "webp") else TOLERANCE
            yield variant(f"{mode}.{suffix}", f"colours {mode}", image, lossy)
    for suffix in ("png", "tif"):
        yield variant(f"16.{suffix}", "16-bit grey", grey16)
    for compression in (
        "tiff_lzw",
        "tiff_adobe_deflate",
        "packbits",
        "group3",
        "group4",
        "tiff_ccitt",
        "jpeg",
        "webp",
        "zstd",
        "lzma",
    ):
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
            yield variant(
                f"{mode}.tif",
                f"{compression}, {mode}",
                modes[mode],
                4 if compression in ("jpeg", "webp") else 1,
                compression=compression,
            )
    for quality in (1, 30, 75, 95, 100):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                yield variant(
                    "a.jpg",
                    f"quality {quality}, subsampling {subsampling}{', progressive' if progressive else ''}",
                    colour,
                    6,
                    quality=quality,
                    subsampling=subsampling,
                    progressive=progressive,
                )
    for quality in (5, 60, 100):
        for lossless in (False, True):
            for image, kind in ((colour, "RGB"), (alpha, "RGBA")):
                yield variant(
                    "a.webp",
                    f"{kind}, quality {quality}, lossless {lossless}",
                    image,
                    6,
                    quality=quality,
                    lossless=lossless,
                )
    for bits in (1, 2, 4):
        yield variant("a.png", f"palette of {bits} bits", colour.convert("P", colors=2**bits), bits=bits)
    for mode in ("L", "RGB", "P"):
        yield variant(
            "a.png", f"transparent colour, {mode}", modes[mode], transparency=0 if mode != "RGB" else (0, 0, 0)
        )
    yield variant("a.gif", "interlaced", modes["P"], interlace=1)
    yield variant("a.gif", "transparent", modes["P"], transparency=3)
    for suffix in ("jpg", "png", "webp", "tif"):
        for orientation in range(10):
            exif = Image.Exif()
            exif[0x0112] = orientation
            yield variant(
                f"a.{suffix}", f"orientation {orientation}", colour, 6 if suffix in ("jpg", "webp") else 1, exif=exif
            )
    for suffix in ("gif", "png", "webp", "tif"):
        more = [colour.rotate(180)] * 2
        animation = variant(f"many.{suffix}", "three pictures", colour, 6, save_all=True, append_images=more)
        yield animation
        small = [colour.resize((20, 16))]
        yield variant(f"small.{suffix}", "a smaller one behind", colour, 6, save_all=True, append_images=small)
    yield variant("a.tif", "BigTIFF", colour, big_tiff=True)
    for name in ("a.jp2", "a.avif", "a.ppm", "a.tga", "a.ico", "a.pdf", "a.icns", "a.dds", "a.sgi", "a.pcx"):
        yield variant(name, "another format", colour, 3)


# --- What tifffile writes ---


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


# --- What ImageMagick and heif-enc write ---


def magick_variants() -> Iterator[Variant]:
    """Depths, colour models, compressions and orientations as ImageMagick writes them."""
    program = next((found for name in ("magick", "convert") if (found := shutil.which(name))), None)
    if program is None or "ImageMagick" not in _output([program, "-version"]):
        return

    def variant(name: str, what: str, *options: str, tolerance: int = TOLERANCE) -> Variant:
        def write(path: Path) -> None:
            source = path.with_name("source.png")
            Image.fromarray(picture()).save(source)
            subprocess.run([program, source, *options, path], check=True, capture_output=True, timeout=60)

        return Variant("ImageMagick", name, what, write, _any_reader, tolerance)

    for suffix in ("png", "tif", "bmp", "gif", "jpg", "webp"):
        lossy = 6 if suffix in ("jpg", "webp") else TOLERANCE
        for depth in (1, 2, 4, 8, 16, 32):
            for colours in ("RGB", "Gray", "CMYK"):
                options = ("-depth", str(depth), "-colorspace", colours)
                yield variant(f"a.{suffix}", f"{depth} bits, {colours}", *options, tolerance=lossy)
        for kind in (
            "Bilevel",
            "Grayscale",
            "GrayscaleAlpha",
            "Palette",
            "PaletteAlpha",
            "TrueColor",
            "TrueColorAlpha",
        ):
            yield variant(f"a.{suffix}", f"type {kind}", "-type", kind, tolerance=lossy)
        for orientation in ("TopLeft", "TopRight", "BottomRight", "BottomLeft", "LeftTop", "RightTop", "RightBottom"):
            yield variant(f"a.{suffix}", f"orientation {orientation}", "-orient", orientation, tolerance=lossy)
        yield variant(f"a.{suffix}", "interlaced", "-interlace", "Plane", tolerance=lossy)
    for compression in ("None", "LZW", "Zip", "RLE", "Fax", "Group4", "JPEG", "LZMA", "ZSTD", "WebP"):
        for planes in ("contig", "separate"):
            yield variant(
                "a.tif",
                f"{compression}, {planes}",
                "-define",
                f"tiff:planar-config={planes}",
                "-compress",
                compression,
                tolerance=6 if compression in ("JPEG", "WebP") else TOLERANCE,
            )
    for endian in ("lsb", "msb"):
        yield variant("a.tif", f"endian {endian}", "-endian", endian)
    for name in ("bmp2:a.bmp", "bmp3:a.bmp", "bmp4:a.bmp"):
        yield variant("a.bmp", name[:4], "-define", f"bmp:format={name[:4]}")
    for kind in ("argb4444", "argb1555", "rgb565", "argb"):
        yield variant("a.bmp", f"subtype {kind}", "-define", f"bmp:subtype={kind}", tolerance=9)


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


def _any_reader(path: Path) -> list[np.ndarray]:
    """Read as Pillow does, or where it does not, as tifffile does."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            bits, photometric = page.bitspersample, int(page.photometric)
            if bits in (8, 16) and photometric in (0, 1, 2) and page.compression == 1:
                values = page.asarray()
                if page.planarconfig == 2 and values.ndim == 3:
                    values = np.moveaxis(values, 0, -1)
                values = (values.astype(np.uint32) + 128) // 257 if bits == 16 else values
                values = 255 - values if photometric == 0 else values
                colour = values[..., :3] if photometric == 2 else np.repeat(np.atleast_3d(values)[..., :1], 3, axis=2)
                turned = Image.fromarray(colour.astype(np.uint8))
                exif = turned.getexif()
                orientation = page.tags.get(274)
                exif[0x0112] = 1 if orientation is None else int(orientation.value)
                turned.info["exif"] = exif.tobytes()
                return [np.asarray(ImageOps.exif_transpose(turned))]
    return with_pillow(path)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout


# --- What FFmpeg writes ---


def ffmpeg_variants() -> Iterator[Variant]:
    """Codecs, pixel formats, ranges, colour matrices and aspects."""
    program = shutil.which("ffmpeg")
    if program is None:
        return

    def variant(name: str, what: str, *options: str, filters: str = "null", refused: bool = False) -> Variant:
        def write(path: Path) -> None:
            source = path.with_name("source.png")
            Image.fromarray(picture(96, 144)).save(source)
            command = [program, "-v", "error", "-y", "-loop", "1", "-t", "0.2", "-r", "25", "-i", str(source)]
            subprocess.run([*command, "-vf", filters, *options, str(path)], check=True, capture_output=True, timeout=60)

        def read(path: Path) -> list[np.ndarray]:
            return _frames(program, path)

        return Variant("FFmpeg", name, what, write, None if refused else read, tolerance=6)

    formats = (
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuvj420p",
        "yuvj444p",
        "gray",
        "yuv420p10le",
        "yuv422p10le",
        "yuv444p10le",
    )
    for container, codec in (
        ("mp4", "libx264"),
        ("mkv", "libx264"),
        ("mkv", "ffv1"),
        ("ts", "libx264"),
        ("mp4", "libx265"),
    ):
        for pixels in formats:
            yield variant(f"a.{container}", f"{codec}, {pixels}", "-c:v", codec, "-pix_fmt", pixels)
    for name, codec in (
        ("a.avi", "mjpeg"),
        ("a.mov", "prores_ks"),
        ("a.webm", "libvpx-vp9"),
        ("a.mp4", "mpeg4"),
        ("a.mkv", "huffyuv"),
        ("a.mov", "png"),
    ):
        yield variant(name, codec, "-c:v", codec)
    for space in ("bt709", "smpte170m", "bt2020nc"):
        for span in ("tv", "pc"):
            matrix = {"smpte170m": "bt601", "bt2020nc": "bt2020"}.get(space, space)
            yield variant(
                "a.mp4",
                f"{space}, {span}",
                "-c:v",
                "libx264",
                "-colorspace",
                space,
                "-color_range",
                span,
                filters=f"scale=out_color_matrix={matrix}:out_range={span},format=yuv444p",
            )
    for aspect in ("2/1", "1/2", "16/11", "12/11", "10/11", "4/3", "8/9"):
        for container in ("mp4", "mkv"):
            yield variant(
                f"a.{container}",
                f"pixels of {aspect}",
                "-c:v",
                "libx264",
                "-pix_fmt",
                "yuv444p",
                filters=f"setsar={aspect}",
            )
    for name in ("a.mp4", "a.mkv"):
        yield variant(
            name,
            "HDR (PQ)",
            "-c:v",
            "libx265",
            "-pix_fmt",
            "yuv420p10le",
            "-color_trc",
            "smpte2084",
            "-x265-params",
            "transfer=16:colorprim=9:colormatrix=9",
            refused=True,
        )


def _frames(program: str, path: Path) -> list[np.ndarray]:
    """Decode with the command, turned as it does, pixels made square as a player shows them."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    command = [program, "-v", "error", "-i", str(path), "-vf", f"scale={size[0]}:{size[1]}:flags=bilinear"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-vsync", "passthrough", "-"]
    data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3))


def all_variants() -> list[Variant]:
    """Every variant that the programs here can write."""
    makers = (pillow_variants, tifffile_variants, magick_variants, heif_variants, ffmpeg_variants)
    return [variant for make in makers for variant in make()]


def audit(variants: Sequence[Variant]) -> list[Finding]:
    """Read the variants; those that no program here can write are left out."""
    with tempfile.TemporaryDirectory() as folder:
        found = (compare(variant, Path(folder)) for variant in variants)
        return [finding for finding in found if finding is not None]


def table(findings: Sequence[Finding]) -> str:
    """Return a line for each writer and format, and one for all."""
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for finding in findings:
        kind = finding.variant.name.rpartition(".")[2]
        for row in ((finding.variant.writer, kind), ("all", "")):
            counts[row][finding.outcome] += 1
    head = f"{'written by':12} {'format':7} {'variants':>8} {'equal':>6} {'refused':>8} {'different':>10}"
    lines = [head]
    for (writer, kind), outcomes in sorted(counts.items(), key=lambda row: (row[0][0] == "all", row[0])):
        numbers = f"{outcomes['equal']:6} {outcomes['refused']:8} {outcomes['different']:10}"
        lines.append(f"{writer:12} {kind:7} {sum(outcomes.values()):8} {numbers}")
    return "\n".join(lines)


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
