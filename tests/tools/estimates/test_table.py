"""Counting a graph, and the page that shows what follows from it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.errors import ArgumentError
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.results.bench import Benchmark, Settings
from maskrt.evaluation.results.files import write_result
from maskrt.evaluation.results.gpu_check import GpuCheck, PartRecord
from maskrt.tools.estimates import __main__ as command
from maskrt.tools.estimates.shapes import Shapes
from maskrt.tools.estimates.stages import BOX_HEAD, CONVOLUTIONS, MATRIX_STAGES, RPN_HEAD, stages_of
from maskrt.tools.estimates.table import estimates_table

from ...docs.blocks import ROOT

PAGE = ROOT / "docs" / "engines.md"


def test_sizes_are_those_of_a_run(shapes_onnx: Path) -> None:
    """At a size that is not the exporter's."""
    import numpy as np
    import onnxruntime

    model = onnx.load(shapes_onnx)
    shapes = Shapes(model.graph, 2, (352, 608))
    outputs = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MultilevelRoIAlign")]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {
        "images": np.zeros((2, 352, 608, 3), np.uint8),
        "image_sizes": np.array([[352, 608]] * 2, np.int32),
        "score_threshold": np.full((2, 1), 0.05, np.float32),
        "nms_threshold": np.full((2, 1), 0.5, np.float32),
    }
    given = [value.name for value in session.get_inputs()]
    for name, array in zip(outputs, session.run(outputs, {name: feed[name] for name in given}), strict=True):
        assert shapes[name] == array.shape, name
        assert shapes.bytes_of([name]) == array.nbytes


def test_operations_of_a_layer(shapes_onnx: Path) -> None:
    graph = convert_to_fp16(onnx.load(shapes_onnx)).graph
    stages = stages_of(graph, Shapes(graph, 1, (320, 448)))
    conv = next(node for node in graph.node if node.op_type == "Conv")
    shapes = Shapes(graph, 1, (320, 448))
    channels_out, channels_in, height, width = shapes[conv.input[1]]
    _, _, rows, columns = shapes[conv.output[0]]
    assert stages[CONVOLUTIONS][0].flops == 2 * channels_out * channels_in * height * width * rows * columns
    gemms = [node for node in graph.node if node.op_type == "Gemm"]
    products = sum(2 * shapes.count(node.input[1]) * shapes[node.output[0]][0] for node in gemms)
    assert sum(launch.flops for launch in stages[BOX_HEAD]) == products
    assert all(
        launch.flops == 0 for stage, launches in stages.items() if stage not in MATRIX_STAGES for launch in launches
    )
    assert {"GenerateProposals", "DetectionOutput", "RoIAlign of proposals", "RoIAlign of detections"} <= set(stages)
    assert RPN_HEAD in stages


def test_measured_times_get_a_column(shapes_onnx: Path, tmp_path: Path) -> None:
    time = {"p10": 30.0, "p90": 6000.0}
    detections = {"ours_us": {"median": 31.4, **time}, "theirs_us": {}, "fastest_of_theirs": "", "speedup": 9.0}
    layers = {"backbone": {"median": 999.0, **time}, "rpn_head": {"median": 203.7, **time}}
    whole = {
        "r50_fpn_800x1344": {"ours_fp16_graph_us": {"median": 5123.0, **time}, "ours_fp16_stages_us": layers},
        "shapes_320x448": {"ours_fp16_graph_us": {"median": 7.0, **time}},
    }
    parts = {
        "machine": PartRecord("done", 1.0, {"device": "NVIDIA L4"}),
        "kernels-fast": PartRecord("stopped", 1.0, {"detection_output_fp16": detections}, "it took longer than 1 s"),
        "pipeline": PartRecord("done", 1.0, whole),
    }
    path = tmp_path / "gpu-check-l4.json"
    write_result(path, GpuCheck(describe_environment(), parts))
    model = onnx.load(shapes_onnx)
    rows = [line.split(" | ") for line in estimates_table(model, (320, 448), [path]).splitlines()]
    assert rows[0][-1] == "NVIDIA L4 measured |"
    measured = {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows[2:]}
    expected = {"RPN head": "204", "DetectionOutput": "31", "**all**": "5123"}
    assert {name: time for name, time in measured.items() if time} == expected
    path.write_text("{}")
    with pytest.raises(ArgumentError, match=r"gpu-check-l4\.json is no result of maskrt"):
        estimates_table(model, (320, 448), [path])
    settings = Settings(threads=1, repeats=1, warm_up=1, pictures=1)
    write_result(path, Benchmark(describe_environment(), settings, (), (), ()))
    with pytest.raises(
        ArgumentError, match=r"gpu-check-l4\.json has results of bench, but measured times are those of"
    ):
        estimates_table(model, (320, 448), [path])


def test_the_command(shapes_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    size = ["--size", "320", "448"]
    page.write_text(f"before\n{command.START}old\n{command.END}after\n")
    assert command.main([str(shapes_onnx), *size]) == 0
    table = capsys.readouterr().out
    assert command.main([str(shapes_onnx), *size, "--page", str(page)]) == 0
    assert page.read_text() == f"before\n{command.START}\n{table}\n{command.END}after\n"
    page.write_text("nothing")
    assert command.main([str(shapes_onnx), *size, "--page", str(page)]) == 2
    assert "has no place for the table" in capsys.readouterr().err
    assert command.main([str(shapes_onnx), "--size", "321", "448"]) == 2
    assert "expected a canvas whose sides the model's divisor divides" in capsys.readouterr().err
    assert command.main([str(page)]) == 2
    assert "cannot be read as an ONNX file" in capsys.readouterr().err
    assert command.main([str(tmp_path / "none.onnx")]) == 2


@pytest.mark.slow
def test_the_page_shows_what_the_command_says(tmp_path: Path) -> None:
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    from maskrt.export.exporter import export_onnx

    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    for values in (*model.parameters(), *model.buffers()):
        if values.dim() == 1:
            values.detach().uniform_(0.5, 1.5)  # as trained: a bias of zeros is not exported
    path = export_onnx(model, tmp_path / "r50.onnx", verify=False)
    page = tmp_path / "engines.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    assert command.main([str(path), "--page", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
