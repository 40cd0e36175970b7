"""Weights of other types: the same numbers as float32, or a sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskrt.export.checkpoints import CheckpointError, read_checkpoint
from maskrt.export.checkpoints.precision import in_float32

from .saving import make_detector

EXACT = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float64]


def _state(dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights that are all numbers of float8 already, and the counter as it is."""
    state = make_detector().state_dict()
    quarters = {name: tensor.mul(4).round().clamp(-7, 7) / 4 for name, tensor in state.items()}
    return {name: quarters[name].to(dtype) if t.is_floating_point() else t for name, t in state.items()}


@pytest.mark.parametrize("container", ["zip", "safetensors"])
@pytest.mark.parametrize("dtype", EXACT)
def test_types_whose_numbers_float32_has(dtype: torch.dtype, container: str, tmp_path: Path) -> None:
    path = tmp_path / ("mine.safetensors" if container == "safetensors" else "mine.pth")
    (save_file if container == "safetensors" else torch.save)(_state(dtype), path)
    read = in_float32(read_checkpoint(path))
    for name, tensor in _state(torch.float32).items():
        assert read.tensors[name].dtype == tensor.dtype
        assert torch.equal(read.tensors[name], tensor)
    said = f"are of the type {str(dtype).removeprefix('torch.')}; as float32 they are the same."
    assert [note for note in read.notes if note.endswith(said)] == ([] if dtype == torch.float32 else [*read.notes])


def _with(name: str, tensor: Tensor) -> dict[str, Tensor]:
    return {**_state(torch.float32), name: tensor}


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.full((2, 4, 1, 1), 0.1, dtype=torch.float64), r"float64 and would be rounded.*model\.float\(\)"),
        (torch.full((2, 4, 1, 1), 1e-60, dtype=torch.float64), "float64 and would be rounded"),
        (torch.full((2, 4, 1, 1), 1e60, dtype=torch.float64), "too large for float32"),
        (torch.full((2, 4, 1, 1), torch.nan), "not finite .* Its training has diverged"),
        (torch.full((2, 4, 1, 1), torch.inf, dtype=torch.float16), "not finite"),
        (torch.ones(2, 4, 1, 1, dtype=torch.int8), "of the type int8; expected floating-point"),
        (torch.ones(2, 4, 1, 1, dtype=torch.bool), "of the type bool; expected floating-point"),
        (torch.ones(2, 4, 1, 1, dtype=torch.complex64), "of the type complex64; expected floating-point"),
    ],
)
def test_numbers_that_float32_has_not(tensor: Tensor, message: str, tmp_path: Path) -> None:
    torch.save(_with("rpn.head.weight", tensor), tmp_path / "mine.pth")
    read = read_checkpoint(tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match=f"mine.pth: its 'rpn.head.weight' .*{message}") as caught:
        in_float32(read)
    assert str(caught.value).endswith(".")
    in_float32(read, ["rpn.head.bias"])  # nobody wants the other one
