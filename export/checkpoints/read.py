"""`read_checkpoint`: the weights in a file of PyTorch, pickle or safetensors, read without running anything in it."""

from __future__ import annotations

import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from maskrt.export.checkpoints.containers import Container, damaged, read_object, sniff
from maskrt.export.checkpoints.errors import CheckpointError, Damaged, shown
from maskrt.export.checkpoints.files import open_regular
from maskrt.export.checkpoints.names import Unwrapped, rename_modules, unwrap
from maskrt.export.checkpoints.plain import to_plain
from maskrt.export.checkpoints.safetensors import read_safetensors
from maskrt.export.checkpoints.values import StoredTensor, UnreadableTensor
from maskrt.export.checkpoints.weights import Found, find_weights

_CONFIG_SAYS = re.compile(r"""(?:predict_on|inference_on)["']?\s*[=:]\s*["'](student|teacher)["']""")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: the file.
        container: how it is written.
        tensors: the weights by name, without the names of wrappers, on the CPU and of the types that were saved.
        versions: of the modules' states, by the modules' names, where PyTorch recorded them.
        meta: what lies beside the weights, as plain data, by key: numbers, settings, `meta` of mmdetection.
        removed: the names of wrappers that were taken off, for example `module.`.
        notes: sentences for the user about what was chosen, taken off and left out.
    """

    path: Path
    container: Container
    tensors: Mapping[str, Tensor]
    versions: Mapping[str, int]
    meta: Mapping[str, Any]
    removed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the weights, by name."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    @property
    def has_frozen_norms(self) -> bool:
        """Whether normalisations have statistics and no counter of batches, as frozen ones have (FrozenBatchNorm2d).

        torchvision's own weights of COCO_V1 are such, and those that were fine-tuned from them; their epsilon is 0,
        which no weight says.
        """
        return any(name.endswith("running_var") for name in self.tensors) and not any(
            name.endswith("num_batches_tracked") for name in self.tensors
        )

    def state_dict(self, names: Iterable[str] = ()) -> OrderedDict[str, Tensor]:
        """Return the weights for a module's `load_state_dict`, with the versions by which PyTorch migrates old ones.

        Args:
            names: of the module's own state dict, where the module may have wrappers itself: the weights get its
                names. By default they keep the names of `tensors`.
        """
        try:
            own = unwrap(names, self.path).saved
        except CheckpointError:  # the module itself holds two detectors, or two names that differ by a wrapper
            own = {}
        renamed = {name: own.get(name, name) for name in self.tensors}
        state = OrderedDict((renamed[name], tensor) for name, tensor in self.tensors.items())
        if self.versions:
            modules = rename_modules(own)
            metadata = OrderedDict((modules.get(name, name), {"version": each}) for name, each in self.versions.items())
            state._metadata = metadata  # type: ignore[attr-defined]
        return state


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read the weights in a file; nothing in it is run, and no tensor is read that is not a weight.

    Taken are files of `torch.save` (ZIP archives and the streams before them), pickles of NumPy arrays or tensors
    (detectron2's model zoo), and safetensors; with whatever training loops put beside the weights.

    Args:
        path: the file.
        key: where there are several sets of weights, that of the one that is wanted ("ema"), or the word before its
            names ("teacher"). None: the model's own, and a note names the others.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no weights that can be read as data; the message says
            what it is and what to do.
        DependencyError: safetensors is needed and not installed.
    """
    path = Path(path)
    if (path / ".metadata").is_file():
        raise CheckpointError(
            f"{path} is the folder of a distributed checkpoint. Write it as one file: python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {path.name} weights.pth."
        )
    with open_regular(path, "checkpoint") as file:
        container = sniff(file, path)
        if container == "safetensors":
            tensors, meta = read_safetensors(path)
            return _checkpoint(path, container, Found((), {}, {}, meta, (), key), tensors)
        content = read_object(file, path, container)
        try:
            found = find_weights(content, path, key)
        except Damaged as error:
            raise damaged(path, error) from error
        return _checkpoint(path, container, found, found.tensors)


def _checkpoint(
    path: Path, container: Container, found: Found, tensors: Mapping[str, StoredTensor | UnreadableTensor | Tensor]
) -> Checkpoint:
    meta = {key: to_plain(value) for key, value in found.beside.items()}
    counters, prefer_student = _single_numbers(tensors), _config_wants_student(meta)
    unwrapped = unwrap(tensors, path, counters=counters, prefer_student=prefer_student, wanted=found.prefix)
    loaded = {name: _load(tensors[saved], saved, path) for name, saved in unwrapped.saved.items()}
    if not loaded:
        raise CheckpointError(f"{path} holds no weights. Save the state dict of a trained model in it.")
    modules = rename_modules({saved: name for name, saved in unwrapped.saved.items()})
    versions = {modules[name]: version for name, version in found.versions.items() if name in modules}
    notes = (*found.notes, *_notes(path, unwrapped))
    return Checkpoint(path, container, loaded, versions, meta, unwrapped.removed, notes)


def _load(tensor: StoredTensor | UnreadableTensor | Tensor, name: str, path: Path) -> Tensor:
    if isinstance(tensor, Tensor):
        return tensor
    if isinstance(tensor, UnreadableTensor):
        raise CheckpointError(f"Cannot read {shown(name)} of {path}: {tensor.why}.")
    try:
        return tensor.load()
    except (Damaged, ValueError, OverflowError, MemoryError, RuntimeError, zipfile.BadZipFile, OSError) as error:
        raise damaged(path, error) from error


def _single_numbers(tensors: Mapping[str, StoredTensor | UnreadableTensor | Tensor]) -> list[str]:
    """Names of counters such as `n_averaged`."""
    return [
        name
        for name, tensor in tensors.items()
        if not isinstance(tensor, UnreadableTensor) and tuple(tensor.shape) in ((), (1,))
    ]


def _config_wants_student(meta: Mapping[str, Any]) -> bool:
    """Whether the config in a semi-supervised mmdetection checkpoint evaluates the student."""
    inner = meta.get("meta")
    text = next((inner[key] for key in ("cfg", "config") if inner.get(key)), "") if isinstance(inner, dict) else ""
    said = _CONFIG_SAYS.search(text) if isinstance(text, str) else None
    return said is not None and said[1] == "student"


def _notes(path: Path, unwrapped: Unwrapped) -> list[str]:
    notes = []
    if unwrapped.removed:
        words = ", ".join(map(shown, unwrapped.removed))
        notes.append(f"{words} was taken off the names of the weights of {path}.")
    if unwrapped.others:
        words = ", ".join(map(shown, unwrapped.others))
        notes.append(
            f"{path} holds other weights under {words}. To use these, give --checkpoint-key {unwrapped.others[0]}."
        )
    if unwrapped.left_out:
        example = shown(unwrapped.left_out[0])
        notes.append(
            f"{len(unwrapped.left_out)} tensors of {path} are no weights of the model and were left out: {example}, …"
        )
    return notes
