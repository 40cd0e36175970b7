"""Models within wrappers, of other types, and in the wrong mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models.feature_extraction import create_feature_extractor

from maskrt.export import export_onnx
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.base import describe_model
from maskrt.export.prepare import check_evaluation_mode, copy_in_fp32, unwrap_model

from ..support.torchvision_models import Body, Pyramid, small_faster_rcnn, small_mask_rcnn

Wrap = Callable[[nn.Module], nn.Module]


@pytest.fixture(scope="module")
def process_group() -> Iterator[None]:
    """Of one process, which `DistributedDataParallel` asks for."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def _in_place(model: nn.Module) -> nn.Module:
    model.compile()
    return model


def _part(name: str, wrap: Wrap) -> Wrap:
    def wrapped(model: nn.Module) -> nn.Module:
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], wrap(model.get_submodule(name)))
        return model

    return wrapped


def _averaged(model: nn.Module) -> nn.Module:
    return AveragedModel(model).eval()


WRAPS: dict[str, Wrap] = {
    "nothing": lambda model: model,
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
    "torch.compile": torch.compile,  # type: ignore[dict-item]
    "model.compile()": _in_place,
    "AveragedModel": _averaged,
    "torch.compile of DataParallel": lambda model: torch.compile(nn.DataParallel(model)),  # type: ignore[dict-item, return-value]
    "DataParallel of torch.compile": lambda model: nn.DataParallel(torch.compile(model)),  # type: ignore[arg-type]
    "a part in DataParallel": _part("backbone", nn.DataParallel),
    "a compiled part": _part("backbone.body", torch.compile),  # type: ignore[arg-type]
    "a part compiled in place": _part("roi_heads.box_head", _in_place),
    "two parts and all": lambda model: nn.DataParallel(
        _part("rpn.head", torch.compile)(_part("backbone", nn.DataParallel)(model))  # type: ignore[arg-type]
    ),
}


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("name", WRAPS)
def test_wrappers_are_taken_off(name: str) -> None:
    plain = small_faster_rcnn()
    weights = plain.state_dict()
    wrapped = WRAPS[name](plain).eval()
    bare = unwrap_model(wrapped)
    assert bare.state_dict().keys() == weights.keys()
    assert not any(module._compiled_call_impl for module in bare.modules())
    if name != "AveragedModel":  # which holds a copy
        for key, tensor in bare.state_dict().items():
            assert tensor.data_ptr() == weights[key].data_ptr()
    assert (bare is plain) == (
        name
        in {"nothing", "DataParallel", "DistributedDataParallel", "torch.compile"}
        | {
            "torch.compile of DataParallel",
            "DataParallel of torch.compile",
        }
    )
    assert describe_model(wrapped).spec == describe_model(small_faster_rcnn()).spec


def test_a_part_that_is_in_two_places_stays_one() -> None:
    inner = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": nn.DataParallel(inner), "b": nn.Sequential(inner), "c": nn.DataParallel(inner)})
    bare = unwrap_model(model)
    assert bare["a"] is bare["c"] is bare["b"][0] is inner


@pytest.mark.slow
def test_a_wrapped_model_gives_the_file_of_the_plain_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = small_faster_rcnn()
    plain = export_onnx(model, tmp_path / "plain.onnx", verify=False).read_bytes()
    wrapped = WRAPS["two parts and all"](model)
    assert export_onnx(wrapped, tmp_path / "wrapped.onnx", verify=False).read_bytes() == plain


@pytest.mark.parametrize("name", ["backbone", "backbone.body.stages.0.1", "roi_heads.mask_head"])
def test_a_part_in_training_mode_is_named(name: str, tmp_path: Path) -> None:
    model = small_mask_rcnn()
    model.get_submodule(name).train()
    with pytest.raises(UnsupportedModelError, match=f"its {name} is in training mode, .* call model.eval"):
        export_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(UnsupportedModelError, match=f"its {name} is in training mode"):
        describe_model(model)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_graph_module_stays_in_evaluation_mode() -> None:
    """`copy.deepcopy` of one comes back in training mode, in which it would measure its statistics anew."""
    body = create_feature_extractor(Body(3), {f"stages.{level}": str(level) for level in range(3)})
    model = small_mask_rcnn(Pyramid(body, [8, 16, 24]))
    check_evaluation_mode(copy_in_fp32(model))
    assert not model.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_become_float32_where_that_changes_no_number(dtype: torch.dtype) -> None:
    layer = nn.Linear(2, 2).to(torch.bfloat16).to(dtype)
    assert torch.equal(copy_in_fp32(layer).weight, layer.weight.float())
    assert layer.weight.dtype == dtype


@pytest.mark.parametrize(
    ("value", "message"), [(0.1, "its weight is float64 and would be rounded"), (torch.nan, "its weight has values")]
)
def test_numbers_that_float32_has_not(value: float, message: str) -> None:
    layer = nn.Linear(2, 2).double()
    nn.init.constant_(layer.weight, value)
    with pytest.raises(UnsupportedModelError, match=message):
        copy_in_fp32(layer)
