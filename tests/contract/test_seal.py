import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from maskrt.contract.seal import SEAL, read_metadata_properties, sealed
from maskrt.runtime import ModelError

from ..support.small_model import SCORES

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
    with pytest.raises(ModelError, match="maskrt export"):
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


def test_a_sealed_model_is_the_same_model(write_model: WriteModel) -> None:
    path = write_model()
    content, whole = path.read_bytes(), read_metadata_properties(path)
    path.write_bytes(sealed(content))
    assert read_metadata_properties(path) == whole
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(entries.pop(SEAL)) == hashlib.sha256(content).hexdigest()
    assert entries == whole
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_any_change_of_a_sealed_model_is_an_error_or_none(write_model: WriteModel, rng: np.random.Generator) -> None:
    """One changed byte, anywhere: refused; or in the seal's name, and then the metadata are the same."""
    path = write_model()
    content, whole = sealed(path.read_bytes()), read_metadata_properties(path)
    errors = 0
    for at in (*range(len(content) - 100, len(content)), *rng.integers(0, len(content), 200)):
        changed = bytearray(content)
        changed[at] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            assert read_metadata_properties(path).items() >= whole.items()
        except ModelError:
            errors += 1
    assert errors > 250


def test_a_change_of_a_weight_names_the_seal(write_model: WriteModel) -> None:
    path = write_model()
    weights = SCORES.tobytes()
    content = sealed(path.read_bytes())
    assert content.count(weights) == 1
    path.write_bytes(content.replace(weights, (SCORES / 2).tobytes()))
    with pytest.raises(ModelError, match=r"was changed after maskrt wrote it.*export it again.*maskrt\.sha256"):
        read_metadata_properties(path)


def test_a_model_edited_on_purpose_is_read_without_its_seal(write_model: WriteModel) -> None:
    path = write_model()
    path.write_bytes(sealed(path.read_bytes()))
    model = onnx.load(path)
    model.graph.name = "edited"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="was changed"):
        read_metadata_properties(path)
    (seal,) = (entry for entry in model.metadata_props if entry.key == SEAL)
    model.metadata_props.remove(seal)
    onnx.save(model, path)
    assert len(read_metadata_properties(path)) > 10
