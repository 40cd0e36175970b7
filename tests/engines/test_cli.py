"""`maskrt engine`: what it says when something is wrong."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from maskrt.calibration.model_file import remove_seal
from maskrt.engines import cli
from maskrt.engines.build import default_output
from maskrt.engines.builders.tensorrt.builder import TENSORRT
from maskrt.engines.gpu import Gpu

Command = Callable[..., subprocess.CompletedProcess[str]]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs the command in this process, which must refuse; returns what it says."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("maskrt engine: ")
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target=rtx4080"], r"no target 'rtx4080'\. Did you mean rtx4090\?"),
        (["--target=jetson-xavier"], "TensorRT 8.5"),
        (["--target=h100", "--builder=tensorrt-rtx"], "does not support h100"),
        (["--target=rtx4090", "--min=1x300x320"], "multiple of 32: 288 or 320"),
        (["--target=rtx4090", "--max=8"], "BATCHxHEIGHTxWIDTH"),
        (["--target=rtx4090", "--workspace=0"], r"workspace must be 1 to 1,048,576 MiB, but is 0"),
        (["--target=rtx4090", "--workspace=9999999999999999"], r"workspace must be 1 to 1,048,576 MiB"),
        (["--all-targets", "--output=no-such-folder"], "no folder no-such-folder"),
    ],
)
def test_options(capsys: pytest.CaptureFixture[str], skeleton_onnx: Path, options: list[str], message: str) -> None:
    assert re.search(message, refused(capsys, skeleton_onnx, *options))


def test_options_for_tensorrt_rtx(capsys: pytest.CaptureFixture[str], skeleton_onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = (skeleton_onnx, "--target=rtx4090", "--builder=tensorrt-rtx")
    assert "times no kernels while it builds" in refused(capsys, *options, "--timing-cache=x")
    assert "has no lean runtime" in refused(capsys, *options, "--version-compatible")
    assert "it is a folder" in refused(capsys, *options, f"--output={tmp_path}")
    assert "there is no folder" in refused(capsys, *options, f"--output={tmp_path / 'missing' / 'a.engine'}")
    (tmp_path / "a.engine.json").mkdir()
    assert "a.engine.json: it is a folder" in refused(capsys, *options, f"--output={tmp_path / 'a.engine'}")
    assert "would overwrite its ONNX file" in refused(capsys, *options, f"--output={skeleton_onnx}")
    for name in ("a.plan", ".engine"):
        assert "must have a name and end in .engine" in refused(capsys, *options, f"--output={tmp_path / name}")


def test_precision_that_the_gpu_does_not_have(
    capsys: pytest.CaptureFixture[str], write_skeleton: Callable[..., None], tmp_path: Path
) -> None:
    write_skeleton(tmp_path / "m.onnx", precision='"fp8"')
    message = refused(capsys, tmp_path / "m.onnx", "--target=rtx3090")
    assert re.search(r"rtx3090 .* has no fp8; it has fp32, fp16, int8.*or build for l4, rtx4090, h100", message)


def test_a_file_of_another_precision_is_refused(
    capsys: pytest.CaptureFixture[str], write_skeleton: Callable[..., None], skeleton_onnx: Path, tmp_path: Path
) -> None:
    """With the command that makes one, since no builder changes a file's precision."""
    message = refused(capsys, skeleton_onnx, "--target=rtx4090", "--precision=int8")
    command = f"`maskrt quantize {skeleton_onnx} --precision int8 --images PATH`"
    assert f"{skeleton_onnx} is fp32, but an engine of int8 is asked for. Make a file of it first: {command}" in message
    assert "`maskrt quantize" in refused(capsys, skeleton_onnx, "--all-targets", "--precision=fp16")
    assert "--images" not in refused(capsys, skeleton_onnx, "--target=rtx4090", "--precision=fp16")
    write_skeleton(tmp_path / "m.onnx", precision='"int8"')
    message = refused(capsys, tmp_path / "m.onnx", "--target=rtx4090", "--precision=fp16")
    assert "m.onnx is int8" in message and "`maskrt quantize MODEL.onnx --precision fp16`" in message
    message = refused(capsys, tmp_path / "m.onnx", "--target=rtx4090", "--precision=fp32")
    assert "m.onnx is int8" in message and "`maskrt export`" in message


def test_a_precision_that_does_not_exist(capsys: pytest.CaptureFixture[str], skeleton_onnx: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([str(skeleton_onnx), "--precision=int4"])
    assert caught.value.code == 2
    assert "invalid choice: 'int4'" in capsys.readouterr().err


def test_model_files(capsys: pytest.CaptureFixture[str], skeleton_onnx: Path, tmp_path: Path) -> None:
    assert "there is no such file" in refused(capsys, tmp_path / "missing.onnx", "--target=rtx4090")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(skeleton_onnx.read_bytes()[:200])
    assert "cut.onnx" in refused(capsys, cut, "--target=rtx4090")


def test_output_is_beside_the_model_by_default() -> None:
    assert default_output(Path("a/model.int8.onnx"), "t4", TENSORRT) == Path("a/model.int8.t4.engine")


def test_plugin_library_that_is_missing(without_plugins: Command, skeleton_onnx: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = without_plugins(skeleton_onnx, "--target=rtx4090")
    assert result.returncode == 2
    assert re.match(r"maskrt engine: .*libmaskrt_plugins\.so does not exist\. Run `make plugins`", result.stderr)


def test_plugin_library_for_other_headers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], skeleton_onnx: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    from maskrt.plugins import loader
    from maskrt.plugins.libraries import PluginLibraryError

    def load(trt: object) -> None:
        raise PluginLibraryError("it was built for TensorRT 11.0, but TensorRT 10.3 is running. Run `make plugins`.")

    monkeypatch.setattr(loader, "load_plugins", load)
    monkeypatch.setattr(
        "maskrt.engines.builders.tensorrt.builder.import_tensorrt",
        lambda package: type("trt", (), {"__version__": "1.7"}),
    )
    assert "TensorRT 11.0, but TensorRT 10.3" in refused(capsys, skeleton_onnx, "--target=rtx4090")


def test_graph_that_tensorrt_refuses(maskrt_engine: Command, skeleton_onnx: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = maskrt_engine(skeleton_onnx, "--target=rtx4090")
    assert result.returncode == 2
    assert re.search(r"maskrt engine: TensorRT-RTX 1\.\S+ cannot build .*skeleton\.onnx: .*", result.stderr)
    assert "Traceback" not in result.stderr
    assert not default_output(skeleton_onnx, "rtx4090", TENSORRT).exists()


@pytest.mark.slow
def test_no_function_is_expanded_in_silence(maskrt_engine: Command, shapes_onnx: Path, tmp_path: Path) -> None:
    """A node that names a plugin nobody has is parsed as its function; that is an error, not a slow engine."""
    pytest.importorskip("tensorrt_rtx")
    model = onnx.load(shapes_onnx)
    remove_seal(model)
    node = next(node for node in model.graph.node if node.op_type == "MultilevelRoIAlign")
    next(a for a in node.attribute if a.name == "plugin_namespace").s = b"somebody else's"
    onnx.save(model, tmp_path / "m.onnx")
    result = maskrt_engine(tmp_path / "m.onnx", "--target=rtx4090")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "it does not take the operator NonZero" in result.stderr  # of the function
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The command of each target that --all-targets would build; building for "l4" fails."""
    pytest.importorskip("tensorrt_rtx")
    commands: dict[str, list[str]] = {}

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        options = command[command.index("maskrt.engines") + 1 :]
        target = options[1].removeprefix("--target=")
        commands[target] = options
        return subprocess.CompletedProcess(command, 2 if target == "l4" else 0)

    monkeypatch.setattr(cli.subprocess, "run", run)
    monkeypatch.setattr(cli, "local_gpu", lambda: None)
    return commands


def test_all_targets(
    builds: dict[str, list[str]], capsys: pytest.CaptureFixture[str], skeleton_onnx: Path, tmp_path: Path
) -> None:
    """Every target that this machine can build for, and a reason for each other one; a failure stops none."""
    arguments = ("--all-targets", f"--output={tmp_path}", "--builder=tensorrt-rtx", "--max=1x64x64")
    assert cli.main([str(skeleton_onnx), *arguments]) == 2
    output = capsys.readouterr()
    assert list(builds) == ["a100", "a10", "rtx3090", "l4", "rtx4090", "rtx5090", "dgx-spark"]
    engine = tmp_path / "skeleton.rtx4090.engine"
    options = ["--target=rtx4090", "--builder=tensorrt-rtx", "--max=1x64x64", f"--output={engine}"]
    assert builds["rtx4090"] == [str(skeleton_onnx), *options]
    assert "engines: a100, a10, rtx3090, rtx4090, rtx5090, dgx-spark\n" in output.out
    assert output.err == "maskrt engine: failed for l4\n"
    for name in ("jetson-xavier", "jetson-orin", "t4", "rtx2080", "h100", "local"):
        assert re.search(rf"^skipped {name}: \w+", output.out, re.MULTILINE)


def test_all_targets_passes_on_what_is_for_tensorrt(
    builds: dict[str, list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    skeleton_onnx: Path,
    tmp_path: Path,
) -> None:
    """To the targets that it builds; the others are left out, with the reason."""
    monkeypatch.setattr(cli, "local_gpu", lambda: Gpu("stand-in", "8.6"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    options = ["--version-compatible", f"--timing-cache={tmp_path / 'kernels.timing'}"]
    assert cli.main([str(skeleton_onnx), "--all-targets", *options]) == 0
    assert list(builds) == ["a10", "rtx3090", "local"]
    assert all(set(options) <= set(command) for command in builds.values())
    assert "skipped rtx4090: TensorRT-RTX times no kernels while it builds" in capsys.readouterr().out


def test_all_targets_of_a_precision(
    builds: dict[str, list[str]],
    capsys: pytest.CaptureFixture[str],
    write_skeleton: Callable[..., None],
    tmp_path: Path,
) -> None:
    write_skeleton(tmp_path / "m.onnx", precision='"fp8"')
    cli.main([str(tmp_path / "m.onnx"), "--all-targets", "--builder=tensorrt-rtx"])
    assert list(builds) == ["l4", "rtx4090", "rtx5090", "dgx-spark"]
    assert "skipped a10: a10 (A10, A10G, A40, compute capability 8.6) has no fp8" in capsys.readouterr().out
