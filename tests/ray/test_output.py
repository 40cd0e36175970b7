"""The folder of the results, and how a run goes on; no Ray needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.errors import ArgumentError, MaskrtError
from maskrt.ray.output import Output, left_over
from maskrt.ray.rows import failed_row

ABOUT = {"model_sha256": "00", "score_threshold": None}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_run_goes_on(tmp_path: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed, which maskrt[ray] brings")
    output = Output(tmp_path / "out", form, ABOUT, resume=False)
    assert output.done() == set()
    output.write(output.next_number(), [failed_row("a.png", "x"), failed_row("b.png", "y")])
    with pytest.raises(ArgumentError, match="Another run writes"):
        Output(tmp_path / "out", form, ABOUT, resume=True)
    output.close()
    (tmp_path / "out" / f"part-000007.{form}.tmp").touch()
    with pytest.raises(ArgumentError, match="has results already"):
        Output(tmp_path / "out", form, ABOUT, resume=False)
    with pytest.raises(ArgumentError, match="of another model or of other settings"):
        Output(tmp_path / "out", form, {**ABOUT, "score_threshold": 0.5}, resume=True)
    again = Output(tmp_path / "out", form, ABOUT, resume=True)
    assert again.done() == {"a.png", "b.png"}
    assert left_over([Path("a.png"), Path("c.png"), Path("b.png")], again.done()) == ["c.png"]
    again.write(again.next_number(), [failed_row("c.png", "z")])
    again.close()
    assert sorted(path.name for path in (tmp_path / "out").glob("part-*")) == [
        f"part-000000.{form}",
        f"part-000001.{form}",
        f"part-000007.{form}.tmp",
    ]


def test_a_part_that_is_damaged(tmp_path: Path) -> None:
    output = Output(tmp_path, "jsonl", ABOUT, resume=False)
    (tmp_path / "part-000003.jsonl").write_text("{")
    output.close()
    again = Output(tmp_path, "jsonl", ABOUT, resume=True)
    with pytest.raises(MaskrtError, match=r"part-000003\.jsonl is damaged"):
        again.done()
    assert again.next_number() == 4
    again.close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MaskrtError, match="cannot be written"):
        Output(tmp_path / "file" / "out", "jsonl", ABOUT, resume=False)
