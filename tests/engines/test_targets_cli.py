"""`maskrt targets`: the table, and the same as JSON with the reasons."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from maskrt.engines import targets_cli
from maskrt.engines.builders import registry
from maskrt.engines.gpu import Gpu
from maskrt.engines.targets import target_names
from maskrt.engines.targets_cli import list_targets


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`installed("tensorrt")` makes these of the builders' packages appear to be installed, and no other."""

    def install(*modules: str) -> None:
        monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: object() if name in modules else None)

    return install


def test_every_target_has_a_row(installed: Callable[..., None]) -> None:
    installed("tensorrt_rtx")
    rows = {row["name"]: row for row in list_targets(None)}
    assert list(rows) == target_names()
    ada = rows["rtx4090"]
    assert (ada["compute_capability"], ada["precisions"]) == ("8.9", ["fp32", "fp16", "int8", "fp8"])
    assert ada["builders"]["tensorrt-rtx"]["here"] == ["fp32", "fp16", "int8", "fp8"]
    assert ada["builders"]["tensorrt-rtx"]["obstacle"] is None
    assert ada["builders"]["tensorrt"]["here"] == []
    assert "on the target GPU itself" in ada["builders"]["tensorrt"]["obstacle"]
    assert rows["t4"]["builders"]["tensorrt-rtx"]["precisions"] == ["fp16", "int8"]
    assert list(rows["h100"]["builders"]) == ["tensorrt"]
    assert (rows["jetson-xavier"]["builders"], rows["local"]["builders"]) == ({}, {})
    assert "TensorRT 8.5" in rows["jetson-xavier"]["note"]
    assert "no GPU or no driver here" in rows["local"]["note"]


def test_what_is_not_installed(installed: Callable[..., None]) -> None:
    installed()
    (row,) = (row for row in list_targets(None) if row["name"] == "l4")
    assert row["builders"]["tensorrt-rtx"]["here"] == []
    assert "pip install tensorrt-rtx-cu13" in row["builders"]["tensorrt-rtx"]["obstacle"]


def test_the_gpu_of_this_machine(installed: Callable[..., None]) -> None:
    installed("tensorrt")
    rows = {row["name"]: row for row in list_targets(Gpu("NVIDIA L4", "8.9"))}
    assert rows["local"]["device"] == "NVIDIA L4"
    for name in ("local", "l4", "rtx4090"):
        assert rows[name]["builders"]["tensorrt"]["here"] == ["fp32", "fp16", "int8", "fp8"]
    assert rows["t4"]["builders"]["tensorrt"]["here"] == []


def test_the_table(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("tensorrt_rtx")
    monkeypatch.setattr(targets_cli, "local_gpu", lambda: None)
    assert targets_cli.main([]) == 0
    head, *lines, note = capsys.readouterr().out.splitlines()
    columns = [head.index(word) for word in head.replace("BUILT HERE BY", "BUILT").split()]

    def cells(name: str) -> list[str]:
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        return [line[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True)]

    assert [line.split()[0] for line in lines] == target_names()
    assert cells("rtx4090")[2:] == ["8.9", "fp32 fp16 int8 fp8", "TensorRT-RTX"]
    assert cells("t4") == ["t4", "Tesla T4", "7.5", "fp32 fp16 int8", "TensorRT-RTX (fp16 int8)"]
    assert cells("h100")[-1] == cells("jetson-xavier")[-1] == "-"
    assert "--json" in note


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert targets_cli.main(["--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == target_names()
