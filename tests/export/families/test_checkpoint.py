from pathlib import Path

import pytest
import torch
from torch import nn

from maskrt.export.errors import SourceError
from maskrt.export.families.checkpoint import read_checkpoint


def test_files_without_a_state_dict(tmp_path: Path) -> None:
    def expect(name: str, message: str) -> None:
        with pytest.raises(SourceError, match=message):
            read_checkpoint(tmp_path / name)

    expect("missing.pth", "there is no checkpoint")
    (tmp_path / "text.pth").write_text("hello")
    expect("text.pth", "cannot read the checkpoint")
    (tmp_path / "text.safetensors").write_text("hello")
    expect("text.safetensors", "cannot read the checkpoint")
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "good.pth")
    content = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    expect("cut.pth", "cannot read the checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    expect("list.pth", "holds no state dict")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled module could run anything when loaded
    expect("module.pth", r"holds more than tensors.*: torch.save\(model.state_dict\(\), path\)")
