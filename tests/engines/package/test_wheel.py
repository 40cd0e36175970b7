"""The runtime's wheel: what it holds, and that pip takes it for one."""

import ast
import base64
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import maskrt
from maskrt.engines.package.wheel import EXTRAS, runtime_sources, runtime_wheel
from maskrt.errors import DependencyError

ROOT = Path(__file__).resolve().parents[3]


def test_the_runtime_and_what_it_imports() -> None:
    sources = runtime_sources()
    for path in (ROOT / "runtime").glob("*.py"):
        assert sources[f"maskrt/runtime/{path.name}"] == path.read_bytes()
    assert {name.split("/")[1] for name in sources} <= {
        *("__init__.py", "py.typed", "cli.py", "command.py", "errors.py", "files.py", "options.py"),
        *("json_log.py", "signals.py", "terminal.py"),
        *("contract", "doctor", "runtime", "plugins"),
    }
    assert {f"maskrt/plugins/{name}.py" for name in ("__init__", "abi", "libraries", "loader")} <= set(sources)
    assert "maskrt/plugins/build.py" not in sources
    for path in (ROOT / "runtime" / "serving" / "page").iterdir():  # no module imports it
        assert sources[f"maskrt/runtime/serving/page/{path.name}"] == path.read_bytes()


def test_no_import_is_left_out() -> None:
    """Read from the source text, so that imports inside of functions count too."""
    sources = runtime_sources()
    for name, content in sources.items():
        package = name.rpartition("/")[0].replace("/", ".")
        for node in ast.walk(ast.parse(content)) if name.endswith(".py") else ():
            if isinstance(node, ast.ImportFrom):
                module = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
                modules = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for imported in modules:
                path = ROOT / "src" / Path(*imported.split(".")).with_suffix(".py")
                if imported.startswith("maskrt.") and path.exists():
                    assert f"{imported.replace('.', '/')}.py" in sources, f"{name} imports {imported}"


def test_what_the_messages_ask_for_can_be_installed() -> None:
    """`pip install maskrt[cpu]` works on the device: each extra that a message of the runtime names is the wheel's."""
    text = b"".join(runtime_sources().values()).decode()
    named = set(re.findall(r"maskrt\[(\w+)\]", text))
    assert "cpu" in named
    assert named <= set(EXTRAS)


def test_pip_takes_it(tmp_path: Path) -> None:
    for plugins in ({}, {"lib.so": b"\x7fELF"}):
        name, content = runtime_wheel(plugins)
        (tmp_path / name).write_bytes(content)
        command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target"]
        target = tmp_path / f"target{len(plugins)}"
        subprocess.run([*command, str(target), str(tmp_path / name)], check=True, capture_output=True)
        assert (target / "maskrt" / "plugins" / "lib" / "lib.so").exists() == bool(plugins)
        (distribution,) = metadata.distributions(path=[str(target)])
        assert (distribution.name, distribution.version) == ("maskrt", maskrt.__version__)
        assert [entry.name for entry in distribution.entry_points] == ["maskrt"]
        assert set(distribution.metadata.get_all("Provides-Extra") or ()) <= set(EXTRAS)
        requires = " ".join(distribution.requires or ())
        assert "numpy" in requires and "torch" not in requires and "polygraphy" not in requires
        assert "Apache License" in (distribution.read_text("licenses/LICENSE") or "")


def test_record_lists_every_file_with_its_hash() -> None:
    """As the Binary Distribution Format wants it; pip does not look, other installers do."""
    name, content = runtime_wheel({"lib.so": b"\x7fELF"})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        record = f"{'-'.join(name.split('-')[:2])}.dist-info/RECORD"
        rows = dict(line.split(",", 1) for line in archive.read(record).decode().splitlines())
        assert set(rows) == set(archive.namelist())
        assert rows.pop(record) == ","
        for path, row in rows.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(path)).digest()).decode().rstrip("=")
            assert row == f"sha256={digest},{archive.getinfo(path).file_size}"


def test_same_files_same_bytes() -> None:
    assert runtime_wheel({"b.so": b"2", "a.so": b"1"}) == runtime_wheel({"a.so": b"1", "b.so": b"2"})
    with zipfile.ZipFile(io.BytesIO(runtime_wheel({})[1])) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())


def test_without_an_installation_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    with pytest.raises(DependencyError, match="pip install --editable"):
        runtime_wheel({})
