from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from maskrt.runtime import ModelError
from maskrt.runtime.onnx_file import read_metadata_properties

WriteModel = Callable[..., Path]


def test_reads_what_onnx_reads(write_model: WriteModel) -> None:
    path = write_model()
    expected = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert read_metadata_properties(path) == expected
    assert len(expected) > 10


def test_model_without_metadata(write_model: WriteModel, tmp_path: Path) -> None:
    model = onnx.load(write_model())
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "plain.onnx")
    assert read_metadata_properties(tmp_path / "plain.onnx") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is not a model", "is not an ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "is not an ONNX file"),
        (b"\xff" * 100, "is not an ONNX file"),
        (b"\x08\x0a", "cut off before its graph"),
    ],
)
def test_files_that_are_not_onnx(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_metadata_properties(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="maskrt-export"):
        read_metadata_properties(tmp_path / "nowhere.onnx")
    with pytest.raises(ModelError, match="is not a file"):
        read_metadata_properties(tmp_path)


def test_every_cut_is_an_error_or_leaves_whole_fields(write_model: WriteModel) -> None:
    """A cut between two outermost fields cannot be seen; it loses metadata, but never gives wrong ones."""
    path = write_model()
    content = path.read_bytes()
    whole = read_metadata_properties(path)
    errors = 0
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        try:
            assert read_metadata_properties(path).items() <= whole.items()
        except ModelError:
            errors += 1
    assert errors > 0.95 * len(content) / 7
