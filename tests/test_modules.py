"""Every module is installed; one that runs as `python -m` describes itself, and does nothing that it does not know."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"src/maskrt": "maskrt", "examples/shapes": "maskrt.shapes"} | {
    name: f"maskrt.{name}" for name in ("calibration", "engines", "evaluation", "export", "plugins", "runtime", "tools")
}


def test_every_folder_of_modules_is_a_package():
    """Another one is not installed: setuptools finds packages alone."""
    folders = {path.parent for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert ROOT / "export" / "families" / "mmdet" in folders
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def commands() -> list[str]:
    """The modules with a `__main__` part, but for a package's `__main__`, which is its command."""
    found = []
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8") or path.name == "__main__.py":
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                found.append(".".join((package, *parts)).removesuffix(".__main__"))
    return found


@pytest.fixture(params=commands())
def run(request, monkeypatch, tmp_path):
    """Runs a module with one argument, as `python -m` does; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(argument):
        monkeypatch.setattr(sys, "argv", [request.param, argument])
        for name in (request.param, f"{request.param}.__main__"):
            monkeypatch.delitem(sys.modules, name, raising=False)  # runpy warns of a module that is imported already
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(request.param, run_name="__main__", alter_sys=True)
        return ended.value.code

    return run


def test_there_are_some():
    assert {"maskrt.shapes.score", "maskrt.shapes.train", "maskrt.plugins.build"} < set(commands())


def test_help(run, tmp_path, capsys):
    assert run("--help") == 0
    assert capsys.readouterr().out.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_there_is_not(run, tmp_path, capsys):
    assert run("--no-such-option") == 2
    assert "usage: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
