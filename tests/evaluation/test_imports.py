"""A command that only shows its help, or refuses what it was given, starts none of the heavy packages."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "polygraphy",
    "onnx",
    "onnxruntime",
    "pycocotools",
    "matplotlib",
    "jinja2",
    "safetensors",
)


@pytest.mark.parametrize(
    "module",
    [
        *(f"maskrt.evaluation.{verb}.cli" for verb in ("compare", "evaluate", "bench", "report")),
        "maskrt.evaluation.report.page",
        "maskrt.evaluation.report.inputs",
        "maskrt.evaluation.metrics.predict",
    ],
)
def test_no_heavy_package(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({set(HEAVY)} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_the_product_does_not_import_its_example() -> None:
    from pathlib import Path

    import maskrt.evaluation

    room = Path(maskrt.evaluation.__file__).parent
    assert [file for file in room.rglob("*.py") if "maskrt.shapes" in file.read_text(encoding="utf-8")] == []
