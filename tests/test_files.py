"""Nothing half-written, and where nothing can be written."""

from pathlib import Path

import pytest

from maskrt import files
from maskrt.errors import ArgumentError
from maskrt.files import check_writable, write_in_one_step


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_in_one_step(path, b"old")

    def half_a_write(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_a_write)
    with pytest.raises(OSError, match="No space left"):
        write_in_one_step(path, b"new content")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "a.engine")
    with pytest.raises(ArgumentError, match=r"it is a folder. Give the name of a file"):
        check_writable(tmp_path)
    with pytest.raises(ArgumentError, match=r"there is no folder .*missing"):
        check_writable(tmp_path / "missing" / "a.engine")
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(ArgumentError, match=r"no permission to write in"):
        check_writable(tmp_path / "a.engine")
