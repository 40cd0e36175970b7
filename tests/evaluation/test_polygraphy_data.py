import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from polygraphy.comparator import RunResults

from maskrt.evaluation import polygraphy_data
from maskrt.runtime import ArgumentError, Segmenter

SCRIPT = Path(polygraphy_data.__file__)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, shapes_onnx: Path, tmp_path: Path) -> Path:
    """A folder with two pictures, and the variables that name it and the model."""
    for name, size in (("a.png", (60, 90)), ("b.png", (90, 60))):
        cv2.imwrite(str(tmp_path / name), np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    monkeypatch.setenv("MASKRT_MODEL", str(shapes_onnx))
    monkeypatch.setenv("MASKRT_IMAGES", str(tmp_path))
    return tmp_path


def test_inputs_are_the_runtimes(environment: Path, shapes_onnx: Path) -> None:
    first, second = polygraphy_data.load_data()
    segmenter = Segmenter(shapes_onnx, threads=1)
    image = cv2.cvtColor(cv2.imread(str(environment / "b.png")), cv2.COLOR_BGR2RGB)
    batch = segmenter.preprocess([image])
    np.testing.assert_array_equal(second["images"], batch.canvas)
    assert second["images"].dtype == batch.canvas.dtype
    np.testing.assert_array_equal(second["image_sizes"], batch.image_sizes)
    np.testing.assert_allclose(first["nms_threshold"], segmenter.metadata.nms_threshold)


def test_polygraphy_runs_and_debugs_our_file(environment: Path, shapes_onnx: Path) -> None:
    """`debug` runs a check again and again; here the check is `run`, and its outputs are sorted as artifacts."""
    polygraphy = [str(Path(sys.executable).parent / "polygraphy")]
    run = [*polygraphy, "run", str(shapes_onnx), "--onnxrt", "--data-loader-script", str(SCRIPT)]
    debug = [*polygraphy, "debug", "repeat", "--until=1", "--artifacts", "outputs.json", "--check"]
    process = subprocess.run(
        [*debug, *run, "--onnx-outputs", "boxes", "conv2d", "--save-outputs", "outputs.json"],
        cwd=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (outputs,) = environment.glob("polygraphy_artifacts/good/outputs*.json")
    ((_, iterations),) = RunResults.load(str(outputs))
    assert [set(iteration) for iteration in iterations] == [{"boxes", "conv2d"}] * 2
    assert iterations[0]["boxes"].shape == (1, 40, 4)


def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch, environment: Path) -> None:
    monkeypatch.setenv("MASKRT_IMAGES", str(environment / "nothing*.png"))
    with pytest.raises(ArgumentError, match="no file matches"):
        next(polygraphy_data.load_data())
    for count in ("x", "0"):  # which Polygraphy would pass, having run nothing
        monkeypatch.setenv("MASKRT_LIMIT", count)
        with pytest.raises(ArgumentError, match=f"MASKRT_LIMIT: expected a whole number from 1, got {count}"):
            next(polygraphy_data.load_data())
    monkeypatch.delenv("MASKRT_LIMIT")
    for missing in ("MASKRT_IMAGES", "MASKRT_MODEL"):
        monkeypatch.delenv(missing)
        with pytest.raises(ArgumentError, match=f"Set {missing} to"):
            next(polygraphy_data.load_data())
