import copy

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


class _Shared(nn.Module):
    """A convolution that runs twice, and one whose output two normalisations read."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.once = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.a, self.b, self.c = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(self.twice(self.twice(x)))
        z = self.once(x)
        return y + self.b(z) + self.c(z)


@torch.no_grad()
def test_what_cannot_be_folded_is_left_alone():
    model = _randomize(_Shared())
    x, folded = torch.randn(2, 3, 8, 8), copy.deepcopy(model)
    assert fold_batch_norms(folded, lambda: folded(torch.zeros(1, 3, 8, 8))) == 0
    torch.testing.assert_close(folded(x), model(x))
