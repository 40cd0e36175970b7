import os
import subprocess
import sys
import types

import pytest

from maskrt.export import exporter, verify
from maskrt.export.cli import main
from maskrt.runtime import Segmenter

from ..support.torchvision_models import small_mask_rcnn

DEMO = "maskrt.shapes.model:shapes_model"


def test_it_says_that_the_file_matches_the_model(tmp_path, capsys):
    output = tmp_path / "model.onnx"
    assert main([DEMO, "-o", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "0 without a counterpart" in printed
    assert "equal to the PyTorch model" in printed
    assert Segmenter(output).class_names[1] == "disk"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([DEMO, "--output", "no/such/folder/model.onnx"], "there is no folder no/such/folder"),
        (["maskrcnn_resnet50_fpn"], "needs weights"),
        (["maskrcnn_resnet50_fpn", "--checkpoint", "x.pth"], "There is no checkpoint x.pth"),
        ([DEMO, "--class-names", "missing.txt"], "Cannot read the class names missing.txt"),
        (["torch.nn:Identity"], "cannot export a Identity"),
        (["maskrcnn_resnet50_fpn", "--weights", "COCO_V1", "--config", "x.yaml"], "leave out --config"),
    ],
)
def test_mistakes_get_a_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("maskrt export: ")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "the following arguments are required: SOURCE" in capsys.readouterr().err


def test_class_count_is_a_number_from_one(capsys):
    with pytest.raises(SystemExit):
        main(["maskrcnn_resnet50_fpn", "--checkpoint", "x.pth", "--num-classes", "-1"])
    assert "expected a whole number from 1, got -1" in capsys.readouterr().err


@pytest.fixture
def small(monkeypatch):
    """What names a model that is exported quickly."""
    monkeypatch.setitem(sys.modules, "small", types.SimpleNamespace(make=small_mask_rcnn))
    return "small:make"


def test_a_file_that_does_not_match_the_model_is_not_left_behind(small, tmp_path, monkeypatch, capsys):
    """Nor does it replace an earlier one."""
    output = tmp_path / "model.onnx"
    output.write_bytes(b"earlier")

    def mismatch(model, path):
        assert path.stat().st_size > 100_000
        raise verify.MismatchError("the exported file does not match the PyTorch model")

    monkeypatch.setattr(exporter, "verify_onnx", mismatch)
    assert main([small, "--output", str(output)]) == 2
    assert "does not match the PyTorch model" in capsys.readouterr().err
    assert output.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [output]


def test_a_file_that_is_not_compared_is_marked(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exporter, "verify_onnx", None)
    output = tmp_path / "model.onnx"
    assert main([small, "--skip-verification", "--output", str(output)]) == 0
    assert "MB, not compared with the PyTorch model, marked as unverified" in capsys.readouterr().out
    assert not Segmenter(output).metadata.verified


# Half precision; a mask head that reads fewer levels of the pyramid than the box head; images that are resized by their
# longer side alone.
FACTORY = """
from maskrt.shapes.model import build_model
import torch

def make():
    torch.manual_seed(0)
    model = build_model()
    model.roi_heads.mask_roi_pool.featmap_names = ["0", "1"]
    model.transform.max_size = 256
    return model.bfloat16()
"""


def test_factory_in_the_current_folder_and_class_names_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
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
    assert main([DEMO, "--output", str(tmp_path / "model.onnx")]) == 2
    assert "Cannot write" in capsys.readouterr().err


def test_output_that_is_a_folder(tmp_path, capsys):
    (tmp_path / "model.onnx").mkdir()
    assert main([DEMO, "--output", str(tmp_path / "model.onnx")]) == 2
    assert "Cannot write" in capsys.readouterr().err


def test_without_torch_it_says_what_to_install(tmp_path):
    blocked = (
        "import sys; sys.modules['torch'] = None; from maskrt.export.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", blocked, DEMO, "--output", str(tmp_path / "model.onnx")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install maskrt[export]" in result.stderr
    assert "Traceback" not in result.stderr


def test_torch_is_not_loaded_for_help():
    code = "import sys; import maskrt.export.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
