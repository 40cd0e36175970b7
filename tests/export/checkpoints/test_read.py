import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from maskrt.export.checkpoints import CheckpointError, archive, read_checkpoint
from maskrt.export.checkpoints.values import Blob

from .saving import Detector, assert_same, make_detector, write


@pytest.fixture
def mmengine_classes(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """Classes with the names of those that mmengine's Runner saves, for as long as a file is written."""
    modules = {
        name: types.ModuleType(name)
        for name in ("mmengine", "mmengine.logging.history_buffer", "mmengine.config.config")
    }

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history = np.arange(3.0)
            self._count_history = np.arange(3)
            self._statistics_methods = {"min": self.min, "mean": self.mean}

        def min(self) -> float:
            raise AssertionError

        def mean(self) -> float:
            raise AssertionError

    class ConfigDict(dict):
        pass

    for module, kind in (("mmengine.logging.history_buffer", HistoryBuffer), ("mmengine.config.config", ConfigDict)):
        kind.__module__, kind.__qualname__ = module, kind.__name__
        setattr(modules[module], kind.__name__, kind)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield types.SimpleNamespace(HistoryBuffer=HistoryBuffer, ConfigDict=ConfigDict)


def test_a_checkpoint_of_mmengines_runner(mmengine_classes, monkeypatch, tmp_path):
    state = make_detector().state_dict()
    content = {
        "meta": {
            "epoch": 12,
            "cfg": "model = dict(type='MaskRCNN')\n" * 5000,
            "dataset_meta": {"classes": ("box", "cone"), "palette": [(1, 2, 3)]},
            "hook": mmengine_classes.ConfigDict(interval=1),
        },
        "state_dict": state,
        "message_hub": {
            "log_scalars": OrderedDict(loss=mmengine_classes.HistoryBuffer()),
            "runtime_info": OrderedDict(iter=np.int64(7)),
            "resumed_keys": {},
        },
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.02, "params": [0]}]},
    }
    torch.save(content, tmp_path / "epoch_12.pth")
    for name in ("mmengine", "mmengine.logging.history_buffer", "mmengine.config.config"):
        monkeypatch.delitem(sys.modules, name)
    read = read_checkpoint(tmp_path / "epoch_12.pth")
    assert_same(read, state)
    assert read.container == "torch zip"
    assert read.meta["meta"]["cfg"] == content["meta"]["cfg"]
    assert read.meta["meta"]["dataset_meta"] == {"classes": ["box", "cone"], "palette": [[1, 2, 3]]}
    assert read.meta["meta"]["hook"] == {"interval": 1}
    assert read.meta["message_hub"]["runtime_info"] == {"iter": 7}
    assert read.meta["message_hub"]["log_scalars"]["loss"]["_log_history"] is None
    assert read.meta["optimizer"]["param_groups"] == [{"lr": 0.02, "params": [0]}]
    assert read.notes == ()


def test_a_pickle_of_detectron2s_zoo_by_python_2(tmp_path):
    """As Python 2 wrote it: data in text, long numbers, old names of NumPy."""
    data = np.arange(30000, dtype="<f4")
    dtype = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    raw = b"T" + struct.pack("<i", data.nbytes) + data.tobytes()
    array = made + b"(K\x01M\x30\x75\x85" + dtype + b"\x89" + raw + b"tb"
    content = b"\x80\x02}(U\x05model}U\x0fbackbone.weight" + array + b"sU\x0a__author__U\x05someou."
    read = read_checkpoint(write(tmp_path / "model_final.pkl", content))
    assert torch.equal(read.tensors["backbone.weight"], torch.from_numpy(data))
    assert read.meta == {"__author__": "someo"}
    assert read.container == "pickle"


def test_what_lies_beside_is_not_read(tmp_path, monkeypatch):
    """The states of an optimizer stay in the file: no record of theirs is opened, no bytes of theirs are taken."""
    model = make_detector()
    state, optimizer = model.state_dict(), {f"exp_avg.{n}": torch.ones(50_000) for n in range(5)}
    records, blobs = [], []
    read, data = archive.Archive.read, Blob.data
    monkeypatch.setattr(
        archive.Archive, "read", lambda self, name, target: records.append(name) or read(self, name, target)
    )
    monkeypatch.setattr(Blob, "data", lambda self: blobs.append(self.length) or data(self))

    torch.save({"optimizer": optimizer, "model": state}, tmp_path / "zip.pth")
    assert_same(read_checkpoint(tmp_path / "zip.pth"), state)
    assert sum(name.startswith("data/") for name in records) == len(state)

    arrays = {name: np.ones(50_000, np.float32) for name in optimizer}
    weights = {"backbone.weight": np.ones(40_000, np.float32), "rpn.weight": np.ones(2, np.float32)}
    write(tmp_path / "zoo.pkl", pickle.dumps({"optimizer": arrays, "model": weights}, 4))
    assert set(read_checkpoint(tmp_path / "zoo.pkl").tensors) == set(weights)
    assert blobs == [160_000]


def test_a_storage_is_read_once(tmp_path, monkeypatch):
    records = []
    read = archive.Archive.read
    monkeypatch.setattr(
        archive.Archive, "read", lambda self, name, target: records.append(name) or read(self, name, target)
    )
    tied = torch.ones(4)
    torch.save({"backbone.a": tied, "backbone.b": tied, "rpn.c": tied[1:]}, tmp_path / "mine.pth")
    tensors = read_checkpoint(tmp_path / "mine.pth").tensors
    assert [name for name in records if name.startswith("data/")] == ["data/0"]
    assert tensors["backbone.a"].data_ptr() == tensors["backbone.b"].data_ptr()


def test_versions_of_the_modules_migrate_old_names(tmp_path):
    """PyTorch's own `load_state_dict` sees the versions that were saved, under the names that are left."""

    class Old(nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.fpn = nn.Linear(2, 2)

    detector = make_detector()
    detector.backbone = Old()
    torch.save(nn.DataParallel(detector).state_dict(), tmp_path / "mine.pth")
    read = read_checkpoint(tmp_path / "mine.pth")
    assert read.versions["backbone"] == 2
    assert read.versions["backbone.fpn"] == 1
    assert read.versions[""] == 1
    assert read.state_dict()._metadata["backbone"] == {"version": 2}
    detector.load_state_dict(read.state_dict())


def test_without_versions_there_are_none(tmp_path):
    torch.save(dict(make_detector().state_dict()), tmp_path / "mine.pth")
    read = read_checkpoint(tmp_path / "mine.pth")
    assert read.versions == {}
    assert not hasattr(read.state_dict(), "_metadata")


def test_a_module_with_wrappers_of_its_own_gets_its_names(tmp_path):
    class Wrapper(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

    saved = make_detector()
    torch.save({"state_dict": saved.state_dict()}, tmp_path / "mine.pth")
    read = read_checkpoint(tmp_path / "mine.pth")
    wrapped = Wrapper(Detector())
    wrapped.model.backbone = nn.DataParallel(wrapped.model.backbone)
    own = wrapped.state_dict()
    result = wrapped.load_state_dict(read.state_dict(own))
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert torch.equal(wrapped.model.rpn["head"].weight, saved.rpn["head"].weight)
    assert "model.rpn" in read.state_dict(own)._metadata


def test_notes_say_what_was_taken_off_left_out_and_chosen(tmp_path):
    state = make_detector().state_dict()
    content = {"model": {f"module.{name}": tensor for name, tensor in state.items()}, "ema": state}
    content["model"]["n_averaged"] = torch.tensor(3)
    torch.save(content, tmp_path / "mine.pth")
    notes = " ".join(read_checkpoint(tmp_path / "mine.pth").notes)
    assert "'module.' was taken off" in notes
    assert "1 tensors" in notes and "'n_averaged'" in notes
    assert "under 'model', which are used, and under 'ema'" in notes
    assert "--checkpoint-key ema" in notes


def test_the_config_says_whether_the_students_weights_are_evaluated(tmp_path):
    state = make_detector().state_dict()
    both = {
        f"{who}.{name}": tensor + number
        for number, who in enumerate(("student", "teacher"))
        for name, tensor in state.items()
    }
    for said, expected in (("teacher", 1), ("student", 0)):
        meta = {"cfg": f"model = dict(semi_test_cfg=dict(predict_on='{said}'))"}
        torch.save({"state_dict": both, "meta": meta}, tmp_path / "mine.pth")
        read = read_checkpoint(tmp_path / "mine.pth")
        assert torch.equal(read.tensors["rpn.head.bias"], state["rpn.head.bias"] + expected)


def test_files_that_are_none(tmp_path):
    def expect(path: Path, message: str) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            read_checkpoint(path)
        assert str(caught.value).endswith(".")

    expect(tmp_path / "missing.pth", "There is no checkpoint")
    expect(tmp_path / "a\0b.pth", "Cannot read the checkpoint")
    expect(tmp_path, "is a folder")
    expect(write(tmp_path / "empty.pth", b""), "is empty")
    expect(write(tmp_path / "text.pth", b"hello"), "is damaged, or is no checkpoint")
    expect(write(tmp_path / "page.pth", b"<!DOCTYPE html><html>"), "the download has failed")
    expect(write(tmp_path / "pointer.pth", b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull")
    expect(write(tmp_path / "keras.h5", b"\x89HDF\r\n\x1a\n"), "Matterport's Mask R-CNN")
    expect(write(tmp_path / "model.onnx", b"\x08\x0a\x12"), "is an ONNX file")
    expect(write(tmp_path / "text.safetensors", b"hello"), "is damaged, or is no safetensors file")
    expect(write(tmp_path / "config.yaml", b"MODEL: {}"), "is a text, not a file of weights")
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    write(sharded / ".metadata", b"x")
    expect(sharded, "distributed checkpoint.*dcp_to_torch sharded")
    os.mkfifo(tmp_path / "pipe.pth")
    expect(tmp_path / "pipe.pth", "no regular file")
    expect(Path("/dev/zero"), "no regular file")


def test_a_pickled_model_of_another_kind_is_named(monkeypatch, tmp_path):
    module = types.ModuleType("ultralytics.nn.tasks")

    class SegmentationModel(Detector):
        pass

    SegmentationModel.__module__, SegmentationModel.__qualname__ = module.__name__, "SegmentationModel"
    module.SegmentationModel = SegmentationModel
    for name in ("ultralytics", "ultralytics.nn", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    torch.save({"epoch": -1, "model": SegmentationModel(), "ema": None}, tmp_path / "yolo.pt")
    with pytest.raises(CheckpointError, match=r"holds a YOLO model of Ultralytics, .* Expected one of: Faster, Mask"):
        read_checkpoint(tmp_path / "yolo.pt")


def test_records_of_one_name(tmp_path):
    """Readers of ZIP files differ on which of them counts."""
    torch.save({"model": make_detector().state_dict()}, tmp_path / "mine.pth")
    with zipfile.ZipFile(tmp_path / "mine.pth", "a") as records, pytest.warns(UserWarning, match="Duplicate name"):
        records.writestr("mine/data/0", b"x" * 432)
    with pytest.raises(CheckpointError, match="two of its records have one name"):
        read_checkpoint(tmp_path / "mine.pth")


def test_files_that_are_cut_or_changed(tmp_path):
    """Wherever a file ends, and whichever byte of the weights is another one."""
    torch.save({"model": make_detector().state_dict()}, tmp_path / "mine.pth")
    content = (tmp_path / "mine.pth").read_bytes()
    for length in range(1, len(content), 97):
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(write(tmp_path / "cut.pth", content[:length]))
    with zipfile.ZipFile(tmp_path / "mine.pth") as records:
        at = content.index(records.read("mine/data/0"))
    flipped = bytearray(content)
    flipped[at + 3] ^= 1
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(write(tmp_path / "flipped.pth", bytes(flipped)))


def test_safetensors_that_are_cut(tmp_path):
    from safetensors.torch import save_file

    save_file(make_detector().state_dict(), tmp_path / "mine.safetensors")
    content = (tmp_path / "mine.safetensors").read_bytes()
    for length in (1, 7, 8, 9, 100, len(content) - 1):
        with pytest.raises(CheckpointError, match="damaged, or is no safetensors file"):
            read_checkpoint(write(tmp_path / "cut.safetensors", content[:length]))


def test_a_file_without_permission(tmp_path):
    path = write(tmp_path / "mine.pth", b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(CheckpointError, match="Permission denied"):
        read_checkpoint(path)
