"""Models that the frameworks publish, by name: `detectron2:COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x`.

Their files are downloaded once, checked against the sums that the frameworks put into the files' names, and kept in
`~/.cache/maskrt` (`$XDG_CACHE_HOME/maskrt`).
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from maskrt.export.checkpoints.errors import CheckpointError, shown
from maskrt.export.checkpoints.zoo import detectron2, mmdet
from maskrt.files import remove_stale, replacing

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far, and with how many there will be, where the server says."""

_CHUNK = 1 << 20
_LARGEST = 4 << 30
_SECONDS = 30


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        framework: whose it is.
        name: the framework's own.
        url: of its weights.
        algorithm: of the sum in the file's name.
        digits: the first ones of that sum, hexadecimal.
    """

    framework: Literal["detectron2", "mmdetection"]
    name: str
    url: str
    algorithm: Literal["md5", "sha256"]
    digits: str

    @property
    def source(self) -> str:
        """How maskrt names it."""
        return f"{'mmdet' if self.framework == 'mmdetection' else self.framework}:{self.name}"

    @property
    def path(self) -> Path:
        """Where its file is kept once it has been downloaded."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "maskrt" / self.framework / self.name / self.url.rpartition("/")[2]


def shown_on(stream: TextIO, model: Published) -> Progress | None:
    """Return what draws the progress of a download, in place, on a terminal; None where the stream is none."""
    if not stream.isatty():
        return None

    def draw(done: int, total: int | None) -> None:
        of = "" if total is None else f" of {total / 1e6:.1f}"
        stream.write(f"\r\033[KDownloading {model.source}: {done / 1e6:.1f}{of} MB" + ("\n" if done == total else ""))
        stream.flush()

    return draw


def is_published_source(source: str) -> bool:
    """Whether a source names a published model of detectron2 or mmdetection, known or not."""
    return source.startswith(("detectron2:", "mmdet:"))


def find_published(source: str) -> Published:
    """Return the published model of a name, `detectron2:…` or `mmdet:…`.

    Raises:
        CheckpointError: there is none, or it is of a network that cannot be exported.
    """
    framework, _, name = source.partition(":")
    if framework == "detectron2":
        return _of_detectron2(name.removesuffix(".yaml").removesuffix(".py"))
    if framework == "mmdet":
        known = mmdet.NAMES.get(mmdet.normalized(name))
        if known is None:
            raise _unknown(f"mmdet:{name}", mmdet.MODELS)
        return _published("mmdetection", known, f"{mmdet.URL}/{mmdet.MODELS[known]}", "sha256")
    raise CheckpointError(f"{shown(source)} names no published model; expected detectron2:NAME or mmdet:NAME.")


def fetch(model: Published, progress: Progress | None = None) -> Path:
    """Return the file of a published model, downloaded unless it is there, and checked.

    Raises:
        CheckpointError: it cannot be downloaded, or is not the file that was published.
    """
    if model.path.is_file():
        if _sum_of(model.path, model).startswith(model.digits):
            return model.path
        try:
            model.path.unlink()  # cut short, or not what was published
        except OSError as error:
            raise CheckpointError(f"{model.path} is damaged. Delete it ({error.strerror}).") from error
    try:
        model.path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(model.path.parent)
        with replacing(model.path) as unfinished:
            found = _download(model, unfinished, progress)
            if not found.startswith(model.digits):
                raise CheckpointError(
                    f"The file at {model.url} is not the one that was published: its {model.algorithm.upper()} sum "
                    f"begins with {found[: len(model.digits)]}, expected {model.digits}. {_by_hand(model)}"
                )
    except HTTPError as error:
        raise CheckpointError(
            f"Cannot download {model.url}: the server says {error.code}. {_by_hand(model)}"
        ) from error
    except URLError as error:
        raise CheckpointError(f"Cannot download {model.url}: {error.reason}. {_by_hand(model)}") from error
    except OSError as error:
        raise CheckpointError(f"Cannot download {model.url}: {error}. {_by_hand(model)}") from error
    return model.path


def check_sum(path: Path, model: Published) -> None:
    """Check that a file is the published one, where its name says that it is.

    Raises:
        CheckpointError: it has the published name and another content.
    """
    if path.name == model.path.name and not _sum_of(path, model).startswith(model.digits):
        raise CheckpointError(
            f"{path} is damaged: its {model.algorithm.upper()} sum does not begin with {model.digits}. Download "
            f"{model.url} again; a file of your own needs another name."
        )


def _of_detectron2(name: str) -> Published:
    model = detectron2.MODELS.get(name)
    if model is None:
        other = next((what for beginning, what in detectron2.OTHER_MODELS.items() if name.startswith(beginning)), None)
        if other is None:
            raise _unknown(f"detectron2:{name}", detectron2.MODELS)
        raise CheckpointError(
            f"Cannot export detectron2:{name}: it {other}. Expected a Faster, Mask, Keypoint or Cascade R-CNN with a "
            "ResNet or ResNeXt."
        )
    if not model.file:
        raise CheckpointError(
            f"detectron2 publishes no weights of {name}. Give yours: --checkpoint FILE with detectron2:{name}."
        )
    return _published("detectron2", name, f"{detectron2.URL}/{name}/{model.file}", "md5")


def _published(
    framework: Literal["detectron2", "mmdetection"], name: str, url: str, algorithm: Literal["md5", "sha256"]
) -> Published:
    digits = re.search(r"([0-9a-f]{6,8})\.p(?:kl|th)$", url)
    assert digits is not None, url
    return Published(framework, name, url, algorithm, digits[1])


def _unknown(source: str, names: Iterable[str]) -> CheckpointError:
    framework, _, name = source.partition(":")
    near = difflib.get_close_matches(name[:200], list(names), n=1, cutoff=0.5)
    hint = f"; did you mean {framework}:{near[0]}?" if near else f", for example {framework}:{next(iter(names))}."
    return CheckpointError(f"There is no published Faster, Mask, Keypoint or Cascade R-CNN {shown(source)}{hint}")


def _by_hand(model: Published) -> str:
    return (
        f"Without access to the internet, download it elsewhere and give the file: --checkpoint FILE with "
        f"{model.source}; or put it at {model.path}."
    )


def _download(model: Published, target: Path, progress: Progress | None) -> str:
    """Write the file; returns its sum."""
    digest = hashlib.new(model.algorithm, usedforsecurity=False)
    with urlopen(model.url, timeout=_SECONDS) as response, target.open("wb") as file:
        length = response.headers.get("Content-Length")
        total = int(length) if length is not None and length.isdecimal() else None
        done = 0
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if done > _LARGEST:
                raise CheckpointError(f"The file at {model.url} has more than {_LARGEST >> 30} GiB. {_by_hand(model)}")
            file.write(chunk)
            digest.update(chunk)
            if progress is not None:
                progress(done, total)
    if total is not None and done < total:
        raise URLError(f"the connection ended after {done} of {total} bytes")
    return digest.hexdigest()


def _sum_of(path: Path, model: Published) -> str:
    digest = hashlib.new(model.algorithm, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}.") from error
    return digest.hexdigest()
