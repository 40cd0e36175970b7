"""The ways in which the same weights are saved: each gives the same tensors, or a sentence with what to do."""

import argparse
import collections
import copy
import datetime
import enum
import gzip
import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from maskrt.export.checkpoints import CheckpointError, read_checkpoint
from maskrt.export.checkpoints.precision import in_float32
from maskrt.export.families.weights import load_state, load_weights

from .saving import Detector, assert_same, make_detector

State = OrderedDict[str, Tensor]
Way = Callable[[Detector, State, Path], object]


class Colour(enum.Enum):
    RED = 1


@dataclass
class Settings:
    rate: float = 0.1


class StateDict(OrderedDict):
    """As some training loops derive their own."""


def torch_save(wrap: Callable[[State], Any], **options: Any) -> Way:
    return lambda model, state, path: torch.save(wrap(state), path, **options)


def prefixed(prefix: str) -> Way:
    return torch_save(lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()})


def arrays(state: State) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in state.items()}


def pickled(wrap: Callable[[State], Any], protocol: int) -> Way:
    return lambda model, state, path: path.write_bytes(pickle.dumps(wrap(state), protocol))


def beside(**others: Any) -> Way:
    return torch_save(lambda state: {"model": state, **others})


def zoo(state: State) -> dict[str, Any]:
    return {"model": arrays(state), "__author__": "Detectron2 Model Zoo"}


def with_optimizer(model: Detector, state: State, path: Path) -> None:
    optimizer = torch.optim.Adam(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    torch.save(
        {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer.state_dict(), "loss": 0.1}, path
    )


def compiled(model: Detector, state: State, path: Path) -> None:
    torch.save(torch.compile(model).state_dict(), path)


def compiled_backbone(model: Detector, state: State, path: Path) -> None:
    model.backbone = torch.compile(model.backbone)  # type: ignore[assignment]
    torch.save(nn.DataParallel(model).state_dict(), path)


def parallel_parts(model: Detector, state: State, path: Path) -> None:
    model.backbone = nn.DataParallel(model.backbone)  # type: ignore[assignment]
    torch.save(model.state_dict(), path)


def averaged(model: Detector, state: State, path: Path) -> None:
    torch.save({"epoch": 3, "ema": AveragedModel(model).state_dict()}, path)


def without_checksums(model: Detector, state: State, path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, path)
    finally:
        torch.serialization.set_crc32_options(True)


def repacked(model: Detector, state: State, path: Path) -> None:
    """As `zip` packs what `unzip` has unpacked."""
    torch.save(state, path)
    rewrite(path, lambda name, data: data, compression=zipfile.ZIP_DEFLATED)


def big_endian(model: Detector, state: State, path: Path) -> None:
    torch.save(state, path)
    widths = [tensor.itemsize for tensor in state.values()]

    def swap(name: str, data: bytes) -> bytes:
        if name.endswith("/byteorder"):
            return b"big"
        if "/data/" not in name:
            return data
        width = widths[int(name.rpartition("/")[2])]
        return np.frombuffer(data, np.uint8).reshape(-1, width)[:, ::-1].tobytes()

    rewrite(path, swap)


def rewrite(path: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as old:
        records = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in records.items():
            new.writestr(name, change(name, data))


def strided(state: State) -> State:
    """The same numbers in other places of memory."""
    made = OrderedDict()
    for name, tensor in state.items():
        if tensor.dim() > 1:
            made[name] = tensor.transpose(0, 1).contiguous().transpose(0, 1)
        else:
            made[name] = torch.stack([tensor, tensor], -1)[..., 0]  # half of a storage
    return made


def in_one_storage(state: State) -> State:
    flat = torch.cat([tensor.reshape(-1).float() for tensor in state.values()])
    made, start = OrderedDict(), 0
    for name, tensor in state.items():
        made[name] = flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return made


def both_models(state: State) -> State:
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    return OrderedDict(
        [(f"student.{name}", tensor) for name, tensor in other.items()]
        + [(f"teacher.{name}", tensor) for name, tensor in state.items()]
    )


def zeros(state: State) -> State:
    return OrderedDict((name, torch.zeros_like(tensor)) for name, tensor in state.items())


def in_parts(model: Detector, state: State, path: Path) -> None:
    torch.save({name: part.state_dict() for name, part in model.named_children()}, path)


EQUAL: dict[str, Way] = {
    "torch.save": torch_save(lambda state: state),
    "protocol 3": torch_save(lambda state: state, pickle_protocol=3),
    "protocol 4": torch_save(lambda state: state, pickle_protocol=4),
    "protocol 5": torch_save(lambda state: state, pickle_protocol=5),
    "before PyTorch 1.6": torch_save(lambda state: state, _use_new_zipfile_serialization=False),
    "before 1.6, protocol 4": torch_save(
        lambda state: {"model": state}, _use_new_zipfile_serialization=False, pickle_protocol=4
    ),
    "without checksums": without_checksums,
    "packed again, compressed": repacked,
    "of a big-endian machine": big_endian,
    "under model": torch_save(lambda state: {"model": state, "epoch": 3}),
    "under state_dict": torch_save(lambda state: {"state_dict": state}),
    "under model_state": torch_save(lambda state: {"model_state": state}),
    "under net": torch_save(lambda state: {"net": state, "acc": 0.9}),
    "under weights": torch_save(lambda state: {"weights": state}),
    "under an unusual key": torch_save(lambda state: {"maskrcnn": state, "epoch": 1}),
    "deep under unusual keys": torch_save(lambda state: {"a": {"b": {"c": state, "n": 1}, "optimizer": {"x": state}}}),
    "in a list of one": torch_save(lambda state: {"models_state_dict": [state], "optimizers_state_dict": []}),
    "deep": torch_save(lambda state: {"model": {"state_dict": {"model": state}, "epoch": 2}}),
    "with an optimizer": with_optimizer,
    "as a plain dict": torch_save(dict),
    "as a subclass of OrderedDict": torch_save(StateDict),
    "as a UserDict": torch_save(UserDict),
    "as a defaultdict": torch_save(lambda state: defaultdict(list, state)),
    "as parameters": lambda model, state, path: torch.save(
        {**dict(model.named_parameters()), **dict(model.named_buffers())}, path
    ),
    "in parts": in_parts,
    "arrays by torch.save": torch_save(arrays),
    "other strides": torch_save(strided),
    "module.": prefixed("module."),
    "module.module.": prefixed("module.module."),
    "_orig_mod.": compiled,
    "_orig_mod.module.": prefixed("_orig_mod.module."),
    "module. and _orig_mod. within": compiled_backbone,
    "module. within": parallel_parts,
    "model.": prefixed("model."),
    "Lightning": torch_save(
        lambda state: {
            "state_dict": {
                **{f"model.{name}": tensor for name, tensor in state.items()},
                "criterion.weight": torch.ones(3),
            },
            "pytorch-lightning_version": "2.0.0",
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
            "hyper_parameters": {"lr": 1e-3},
        }
    ),
    "model._orig_mod.module.": prefixed("model._orig_mod.module."),
    "net.detector.": prefixed("net.detector."),
    "FSDP": prefixed("_fsdp_wrapped_module."),
    "AveragedModel": averaged,
    "ema.": prefixed("ema."),
    "ema_": prefixed("ema_"),
    "ema_state_dict alone": torch_save(lambda state: {"ema_state_dict": state, "steps": torch.tensor(4)}),
    "model beside ema": torch_save(lambda state: {"ema": zeros(state), "model": state}),
    "student.": prefixed("student."),
    "teacher. beside student.": torch_save(both_models),
    "ema copies, mmdetection 2": torch_save(
        lambda state: {**state, **{f"ema_{name.replace('.', '_')}": tensor + 1 for name, tensor in state.items()}}
    ),
    "argparse.Namespace beside": beside(args=argparse.Namespace(lr=0.02, data_path="coco")),
    "a NumPy number beside": beside(best_map=np.float64(0.4)),
    "arrays beside": beside(history=np.arange(5.0), names=np.array(["a", "b"]), objects=np.array([None, {}], object)),
    "paths and dates beside": beside(output=Path("out"), at=datetime.datetime(2026, 1, 1), device=torch.device("cpu")),
    "containers beside": beside(
        a=defaultdict(int, {"x": 1}),
        b=collections.Counter("aab"),
        c=collections.deque([1]),
        d={1, 2},
        e=frozenset((3,)),
    ),
    "objects beside": beside(colour=Colour.RED, settings=Settings(), function=len, kind=Settings, size=torch.Size([1])),
    "safetensors": lambda model, state, path: save_file(state, path),
    "safetensors with texts": lambda model, state, path: save_file(state, path, metadata={"format": "pt"}),
    "detectron2's zoo, protocol 0": pickled(zoo, 0),
    "detectron2's zoo, protocol 2": pickled(zoo, 2),
    "detectron2's zoo, protocol 3": pickled(zoo, 3),
    "detectron2's zoo, protocol 4": pickled(zoo, 4),
    "detectron2's zoo, protocol 5": pickled(zoo, 5),
    "tensors by pickle": pickled(dict, 4),
    "tensors by pickle, protocol 2": pickled(lambda state: {"model": state}, 2),
    "arrays in Fortran's order": pickled(
        lambda state: {n: np.array(a, order="F") for n, a in arrays(state).items()}, 3
    ),
    "arrays of the other byte order": pickled(
        lambda state: {n: a.astype(a.dtype.newbyteorder(">")) for n, a in arrays(state).items()}, 4
    ),
    "arrays by cloudpickle": lambda model, state, path: path.write_bytes(cloudpickle.dumps(zoo(state))),
}


@pytest.mark.parametrize("way", EQUAL)
def test_the_same_weights(way: str, tmp_path: Path) -> None:
    model = make_detector()
    state = copy.deepcopy(model.state_dict())
    path = tmp_path / ("mine.safetensors" if way.startswith("safetensors") else "mine.pth")
    EQUAL[way](model, state, path)
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint, state)
    # As torchvision's models and factories take them, and as networks of a config do, which have no memory before.
    loaded = Detector()
    load_state(loaded, checkpoint)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    with torch.device("meta"):
        built = Detector()
    load_weights(built, checkpoint, "the config", "nothing")
    weights = {name: tensor for name, tensor in built.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(tensor, state[name]) for name, tensor in weights.items())


PREFIXES = ["", "module.", "_orig_mod.", "model.", "module._orig_mod.", "model.module.", "ema.module.", "net.detector."]
NESTINGS: list[Callable[[Any], Any]] = [
    lambda state: state,
    lambda state: {"model": state, "epoch": 3},
    lambda state: {"state_dict": state, "optimizer": {"state": {0: {"step": 1}}}},
    lambda state: {"epoch": 3, "model_state_dict": state, "best": 0.5},
    lambda state: {"checkpoint": {"model": state}, "args": argparse.Namespace(lr=0.1)},
    lambda state: {"model": {"state_dict": state}},
    lambda state: {"ema_state_dict": state, "n_averaged": 3},
]
FORMATS: dict[str, Callable[[Any, Path], object]] = {
    "ZIP": torch.save,
    "stream": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "pickle 2": lambda content, path: path.write_bytes(pickle.dumps(content, 2)),
    "pickle 5": lambda content, path: path.write_bytes(pickle.dumps(content, 5)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("written", [*FORMATS, "safetensors"])
def test_prefixes_in_nestings_in_formats(written: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """8 prefixes, 7 nestings, 5 formats and 3 types: 696 files, since safetensors do not nest."""
    quarters = {name: (tensor.float().mul(4).round() / 4) for name, tensor in make_detector().state_dict().items()}
    state = {name: tensor.to(dtype) for name, tensor in quarters.items()}
    for prefix in PREFIXES:
        names = {f"{prefix}{name}": tensor for name, tensor in state.items()}
        for number, nest in enumerate(NESTINGS if written != "safetensors" else NESTINGS[:1]):
            path = tmp_path / f"{number}.{'safetensors' if written == 'safetensors' else 'pth'}"
            save_file(names, path) if written == "safetensors" else FORMATS[written](nest(names), path)
            read = in_float32(read_checkpoint(path))
            assert read.tensors.keys() == state.keys()
            for name, tensor in read.tensors.items():
                assert torch.equal(tensor.float(), quarters[name]), (prefix, number, name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.complex64])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_of_other_types_are_given_as_they_are(dtype: torch.dtype, zipped: bool, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in make_detector().state_dict().items()}
    if not zipped and dtype == torch.float8_e4m3fn:
        pytest.skip("PyTorch itself does not write it so")
    torch.save(state, tmp_path / "mine.pth", _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / "mine.pth")
    assert all(torch.equal(read.tensors[n].view(torch.uint8), t.view(torch.uint8)) for n, t in state.items() if t.dim())
    assert {tensor.dtype for tensor in read.tensors.values()} == {dtype}


def test_weights_in_one_storage(tmp_path: Path) -> None:
    state = make_detector().state_dict()
    torch.save(in_one_storage(state), tmp_path / "mine.pth")
    assert_same(read_checkpoint(tmp_path / "mine.pth"), {name: tensor.float() for name, tensor in state.items()})


def whole_model(model: Detector, state: State, path: Path) -> None:
    torch.save(model, path)


def whole_model_under_a_key(model: Detector, state: State, path: Path) -> None:
    torch.save({"epoch": 1, "model": model}, path, _use_new_zipfile_serialization=False)


def script(model: Detector, state: State, path: Path) -> None:
    torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))).save(path)


def exported(model: Detector, state: State, path: Path) -> None:
    written = path.with_suffix(".pt2")
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), written)
    written.rename(path)


def quantized(model: Detector, state: State, path: Path) -> None:
    torch.save({name: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8) for name, t in state.items()}, path)


def in_archive(model: Detector, state: State, path: Path) -> None:
    inner = path.with_name("inner.pth")
    torch.save(state, inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "inner.pth")


def in_tar(model: Detector, state: State, path: Path) -> None:
    inner = path.with_name("inner.pth")
    torch.save(state, inner)
    with tarfile.open(path, "w") as archive:
        archive.add(inner, "inner.pth")


def gzipped(model: Detector, state: State, path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(gzip.compress(buffer.getvalue()))


def several(model: Detector, state: State, path: Path) -> None:
    torch.save({"detector_a": state, "detector_b": zeros(state)}, path)


def two_detectors(model: Detector, state: State, path: Path) -> None:
    torch.save({f"{each}.{name}": tensor for each in "ab" for name, tensor in state.items()}, path)


REFUSED: dict[str, tuple[Way, str]] = {
    "a whole model": (whole_model, r"whole pickled model \('?.*Detector.*weights_only=False\)\.state_dict\(\)"),
    "a whole model under a key": (whole_model_under_a_key, r"\['model'\]\.state_dict\(\), 'weights.pth'\)"),
    "TorchScript": (script, r"TorchScript archive.*torch\.jit\.load\('mine\.pth'"),
    "torch.export": (exported, "torch.export"),
    "quantized": (quantized, "quantized.*dequantize"),
    "sparse": (torch_save(lambda s: {n: t.to_sparse() for n, t in s.items()}), "sparse.*to_dense"),
    "on the device meta": (torch_save(lambda s: {n: t.to("meta") for n, t in s.items()}), "meta"),
    "npz": (lambda model, state, path: np.savez(path.open("wb"), **arrays(state)), "npz archive.*save_file"),
    "joblib": (lambda model, state, path: joblib.dump(arrays(state), path), "joblib wrote it.*save_file"),
    "a ZIP archive of files": (in_archive, "holds 'inner.pth'. Unpack it"),
    "a tar archive": (in_tar, "tar archive. Unpack it"),
    "gzip": (gzipped, "gzip. Unpack it: gunzip"),
    "a list": (torch_save(lambda state: list(state.values())), "a list. Expected a dictionary of tensors"),
    "a tuple": (torch_save(lambda state: (state, 3)), "a tuple. Expected a dictionary of tensors"),
    "one tensor": (torch_save(lambda state: state["backbone.0.weight"]), "a single tensor. Expected"),
    "nothing": (torch_save(lambda state: {"epoch": 3}), "no state dict.*'epoch'.*Expected"),
    "several": (several, "several sets of weights: 'detector_a', 'detector_b'. Name one of them: --checkpoint-key"),
    "two detectors": (two_detectors, r"two models, under 'a\.' and under 'b\.'. Name one"),
    "optimizer alone": (
        torch_save(lambda state: {"optimizer": {"state": {0: {"momentum": torch.ones(2)}}}}),
        "Expected",
    ),
    "before 1.6, protocol 0": (
        torch_save(lambda state: state, _use_new_zipfile_serialization=False, pickle_protocol=0),
        "save it without pickle_protocol=0",
    ),
    "objects as values": (torch_save(lambda s: {n: np.array([n], object) for n in s}), "not of numbers"),
}


@pytest.mark.parametrize("way", REFUSED)
def test_refused_with_a_remedy(way: str, tmp_path: Path) -> None:
    save, message = REFUSED[way]
    path = tmp_path / "mine.pth"
    model = make_detector()
    save(model, model.state_dict(), path)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert "mine.pth" in str(caught.value)
    assert str(caught.value).endswith(".")
