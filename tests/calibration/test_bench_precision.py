import subprocess
import sys


def test_a_line_for_each_file(shapes_onnx, int8_onnx, scene_folder):
    options = [str(scene_folder), str(shapes_onnx), str(int8_onnx), "--repeats", "1"]
    command = [sys.executable, "-m", "maskrt.calibration.bench_precision", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith("shapes.onnx: ")
    assert "1x (1x to 1x) as fast as shapes.onnx" in first
    assert second.startswith("shapes.int8.onnx: ")


def test_no_images(shapes_onnx, tmp_path):
    command = [sys.executable, "-m", "maskrt.calibration.bench_precision", str(tmp_path), str(shapes_onnx)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "there is no image in this folder" in result.stderr
