import copy

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import FrozenBatchNorm2d

from maskrt.export.fold import fold_batch_norms


def _randomize(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_()
    return model.eval()


@torch.no_grad()
def test_every_norm_of_a_resnet_goes_and_the_output_stays():
    for norm in (nn.BatchNorm2d, FrozenBatchNorm2d):
        model = _randomize(ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=norm))
        x, folded = torch.randn(2, 3, 64, 64), copy.deepcopy(model)
        assert fold_batch_norms(folded, lambda: folded(torch.zeros(1, 3, 64, 64))) == 12  # noqa: B023
        assert not any(isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)


class _Unfoldable(nn.Module):
    """A convolution and three normalisations, put together by `forward`."""

    def __init__(self, forward, **norm_options) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm, self.another = nn.BatchNorm2d(3, **norm_options), nn.BatchNorm2d(3)
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param(lambda m, x: m.norm(m.conv(m.conv(x))), id="a convolution that runs twice"),
        pytest.param(lambda m, x: (lambda y: m.norm(y) + m.another(y))(m.conv(x)), id="two normalisations"),
        pytest.param(lambda m, x: (lambda y: m.norm(y) + y)(m.conv(x)), id="a residual past the normalisation"),
        pytest.param(lambda m, x: (lambda y: torch.cat([m.norm(y), y]))(m.conv(x)), id="in a list"),
        pytest.param(lambda m, x: m.norm(m.conv(x)) + m.norm(x), id="a normalisation that runs twice"),
        pytest.param(lambda m, x: m.norm(m.conv(x).relu()), id="something between"),
    ],
)
@torch.no_grad()
def test_what_cannot_be_folded_is_left_alone(forward):
    model = _randomize(_Unfoldable(forward))
    x, folded = torch.randn(2, 3, 8, 8), copy.deepcopy(model)
    assert fold_batch_norms(folded, lambda: folded(torch.zeros(1, 3, 8, 8))) == 0
    torch.testing.assert_close(folded(x), model(x))


@torch.no_grad()
def test_a_norm_without_statistics_is_left_alone():
    model = _Unfoldable(lambda m, x: m.norm(m.conv(x)), track_running_stats=False).eval()
    assert fold_batch_norms(model, lambda: model(torch.zeros(2, 3, 8, 8))) == 0


@torch.no_grad()
def test_a_norm_of_two_names_goes_from_both():
    model = _Unfoldable(lambda m, x: m.another(m.conv(x)))
    model.another = model.norm
    _randomize(model)
    x, folded = torch.randn(2, 3, 8, 8), copy.deepcopy(model)
    assert fold_batch_norms(folded, lambda: folded(torch.zeros(1, 3, 8, 8))) == 1
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_pair_that_runs_twice_is_folded_once():
    model = _randomize(_Unfoldable(lambda m, x: m.norm(m.conv(x)) + m.norm(m.conv(2 * x))))
    x, folded = torch.randn(2, 3, 8, 8), copy.deepcopy(model)
    assert fold_batch_norms(folded, lambda: folded(torch.zeros(1, 3, 8, 8))) == 1
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)


class _ConvWithNorm(nn.Conv2d):
    """A convolution whose normalisation is its child, as detectron2's."""

    def __init__(self) -> None:
        super().__init__(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(super().forward(x))


@torch.no_grad()
def test_a_norm_that_is_a_child_of_its_convolution_goes():
    model = _randomize(nn.Sequential(_ConvWithNorm(), nn.ReLU(), _ConvWithNorm()))
    x, folded = torch.randn(2, 3, 8, 8), copy.deepcopy(model)
    assert fold_batch_norms(folded, lambda: folded(torch.zeros(1, 3, 8, 8))) == 2
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)
