import os
import subprocess
import sys

import pytest

from maskrt.export.cli import main
from maskrt.runtime import Segmenter


def test_demo_model_by_default_and_it_says_that_it_matches(tmp_path, capsys):
    output = tmp_path / "model.onnx"
    assert main(["--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "0 without a counterpart" in printed
    assert "equal to the PyTorch model" in printed
    assert Segmenter(output).class_names[1] == "disk"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "no/such/folder/model.onnx"], "there is no folder no/such/folder"),
        (["maskrcnn_resnet50_fpn"], "needs weights"),
        (["maskrcnn_resnet50_fpn", "--weights", "COCO_V1", "--checkpoint", "x.pth"], "not both"),
        (["--class-names", "missing.txt"], "cannot read the class names missing.txt"),
        (["torch.nn:Identity"], "cannot export a Identity"),
    ],
)
def test_mistakes_get_a_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("maskrt-export: ")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_factory_in_the_current_folder_and_class_names_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from maskrt.shapes.model import build_model\n"
        "import torch\n\n\ndef make():\n    torch.manual_seed(0)\n    return build_model()\n"
    )
    (tmp_path / "names.txt").write_text("\n".join(f"größe {i}" for i in range(8)), encoding="utf-8")
    command = [sys.executable, "-m", "maskrt.export", "mine:make", "--output", "mine.onnx"]
    result = subprocess.run(
        [*command, "--class-names", "names.txt"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert Segmenter(tmp_path / "mine.onnx").class_names[8] == "größe 7"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["--output", str(tmp_path / "model.onnx")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_output_that_is_a_folder(tmp_path, capsys):
    (tmp_path / "model.onnx").mkdir()
    assert main(["--output", str(tmp_path / "model.onnx")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_without_torch_it_says_what_to_install(tmp_path):
    blocked = (
        "import sys; sys.modules['torch'] = None; from maskrt.export.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", blocked, "--output", str(tmp_path / "model.onnx")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install maskrt[export]" in result.stderr
    assert "Traceback" not in result.stderr


def test_torch_is_not_loaded_for_help():
    code = "import sys; from maskrt.export.cli import _parser; _parser(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
