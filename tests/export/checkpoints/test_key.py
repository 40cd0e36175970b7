"""Several sets of weights in one file: each can be had by its name, and none is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskrt.export.checkpoints import CheckpointError, read_checkpoint

from .saving import assert_same, make_detector

State = dict[str, Tensor]


def _prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def _mmcv(own: State, averaged: State) -> State:
    """As mmcv's EMAHook keeps averages: buffers of the model, with `_` for each dot."""
    averages = {name: tensor for name, tensor in averaged.items() if "running" not in name and "batches" not in name}
    return {**own, **{f"ema_{name.replace('.', '_')}": tensor for name, tensor in averages.items()}}


FILES: dict[str, tuple[Callable[[State, State], Any], str, str | None]] = {
    "model beside ema": (lambda own, other: {"model": own, "ema": other, "epoch": 3}, "ema", None),
    "model beside model_ema": (lambda own, other: {"model": own, "model_ema": other}, "model_ema", None),
    "an AveragedModel": (
        lambda own, other: {"model": own, "ema": {"n_averaged": torch.tensor(3), **_prefixed("module.", other)}},
        "ema",
        None,
    ),
    "ema in a dictionary": (lambda own, other: {"model": own, "ema": {"state_dict": other}}, "ema", None),
    "the full path": (lambda own, other: {"model": own, "ema": {"state_dict": other}}, "ema.state_dict", None),
    "mmengine": (
        lambda own, other: {"state_dict": own, "ema_state_dict": other, "message_hub": {}, "meta": {}},
        "ema_state_dict",
        None,
    ),
    "mmcv": (_mmcv, "ema_", None),
    "mmcv, by another spelling": (_mmcv, "ema", None),
    "ema_ before names": (lambda own, other: {**own, **_prefixed("ema_", other)}, "ema_", None),
    "Lightning": (
        lambda own, other: {"state_dict": {**_prefixed("model.", own), **_prefixed("ema_model.module.", other)}},
        "ema_model",
        None,
    ),
    "teacher and student": (
        lambda own, other: {"model": {**_prefixed("teacher.", own), **_prefixed("student.", other)}},
        "student",
        None,
    ),
    "teacher and student of DataParallel": (
        lambda own, other: {**_prefixed("module.teacher.", own), **_prefixed("module.student.", other)},
        "student",
        None,
    ),
    "detector_a and detector_b": (lambda own, other: {"detector_a": own, "detector_b": other}, "detector_b", "several"),
    "a. and b.": (lambda own, other: {**_prefixed("a.", own), **_prefixed("b.", other)}, "b", "two models"),
    "generator and model in a dictionary": (
        lambda own, other: {"states": {"model": own, "other_model": other}},
        "states.other_model",
        None,
    ),
}


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_each_set_has_a_name(name: str, old_format: bool, tmp_path: Path) -> None:
    make, key, refused = FILES[name]
    own = make_detector().state_dict()
    other = {name: tensor + 1 for name, tensor in own.items()}
    torch.save(make(own, other), tmp_path / "mine.pth", _use_new_zipfile_serialization=not old_format)
    if refused is None:
        read = read_checkpoint(tmp_path / "mine.pth")
        assert_same(read, own)
        if "states" not in key:  # where nothing says that they are weights of a detector
            assert any("--checkpoint-key" in note for note in read.notes)
    else:
        with pytest.raises(CheckpointError, match=f"{refused}.*--checkpoint-key"):
            read_checkpoint(tmp_path / "mine.pth")
    if name.startswith("mmcv"):  # which does not average the statistics of batch normalisation
        other = {key: own[key] if "running" in key or "batches" in key else tensor for key, tensor in other.items()}
    assert_same(read_checkpoint(tmp_path / "mine.pth", key), other)


def test_words_before_names_in_safetensors(tmp_path: Path) -> None:
    own = make_detector().state_dict()
    other = {name: tensor + 1 for name, tensor in own.items()}
    save_file({**_prefixed("teacher.", own), **_prefixed("student.", other)}, tmp_path / "mine.safetensors")
    assert_same(read_checkpoint(tmp_path / "mine.safetensors", "student"), other)
    assert_same(read_checkpoint(tmp_path / "mine.safetensors", "teacher"), own)


@pytest.mark.parametrize("key", ["ema", "student", "model.ema", "epoch", "", "backbone.0"])
def test_a_name_that_is_not_there(key: str, tmp_path: Path) -> None:
    torch.save({"model": make_detector().state_dict(), "epoch": 3}, tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match=r"no weights under '.*' \(--checkpoint-key\)\. It has one set"):
        read_checkpoint(tmp_path / "mine.pth", key)


def test_the_others_are_listed(tmp_path: Path) -> None:
    own = make_detector().state_dict()
    torch.save({**_prefixed("teacher.", own), **_prefixed("student.", own)}, tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match=r"no weights under 'ema' .* It has some under 'student'"):
        read_checkpoint(tmp_path / "mine.pth", "ema")


@pytest.mark.parametrize(
    ("hub", "said"), [({"message_hub": {}}, "which, the averaged ones, are used"), ({}, "which are")]
)
def test_what_mmengine_exchanges_is_said(hub: dict[str, Any], said: str, tmp_path: Path) -> None:
    own = make_detector().state_dict()
    other = {name: tensor + 1 for name, tensor in own.items()}
    torch.save({"state_dict": own, "ema_state_dict": other, **hub}, tmp_path / "mine.pth")
    (note,) = read_checkpoint(tmp_path / "mine.pth").notes
    assert f"under 'state_dict', {said}" in note
