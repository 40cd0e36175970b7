r"""OpenVINO beside PyTorch and ONNX Runtime on the CPU, pixels to masks, for one source model, in one run.

    python -m maskrt.tools.openvino_benchmark maskrt.shapes.model:shapes_model --size 320x480 --images calibration/
    python -m maskrt.tools.openvino_benchmark maskrt.tools.bench_models:maskrcnn_resnet50_fpn --size 800x1200 \\
        --images calibration/

The sides, each from a uint8 photograph in memory to full-size masks: torchvision eager; torchvision's own ONNX export
in ONNX Runtime and in OpenVINO; and this project's files: FP32 in ONNX Runtime, and FP32, FP16 and INT8 in OpenVINO.
torchvision's export ends before the masks are pasted, since OpenVINO does not read its loop for that ("Accessing
out-of-range dimension"): torchvision's own function pastes them then.

In each round every side runs once, and is compared with eager in the same round: the load of the machine changes, and
both see the same. The files lie in `--output`, and are made only where they are not there.
"""

import argparse
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime
import openvino
import torch

from maskrt.command import run_command
from maskrt.contract.precision import PRECISIONS
from maskrt.errors import ArgumentError
from maskrt.evaluation.bench.timing import ratio, seconds_in_turns
from maskrt.export.families.base import load_source
from maskrt.options import SourceOptions, add_thread_option, positive
from maskrt.runtime import Segmenter
from maskrt.runtime.backends.openvino import CONFIG, DEVICE
from maskrt.shapes.backgrounds import photograph

Run = Callable[[np.ndarray], np.ndarray]
"""From an image [H, W, 3] uint8 to masks [N, H, W] bool."""

_PRECISIONS = ("fp32", "fp16", "int8")
_OUTPUTS = ("boxes", "labels", "scores", "masks")
"""Of torchvision's export, in the order of its dictionaries."""


class Side(NamedTuple):
    """What is timed."""

    name: str
    run: Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_command(
        "python -m maskrt.tools.openvino_benchmark",
        lambda: _measure(_parse(arguments)),
        interrupted="what was exported is kept",
        install="maskrt[openvino]",
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="package.module:factory of a torchvision model")
    parser.add_argument("--size", type=_size, default=(800, 1200), metavar="HEIGHTxWIDTH", help="of the image")
    parser.add_argument("--images", nargs="+", metavar="PATH", required=True, help="to calibrate INT8 with")
    parser.add_argument("--rounds", type=positive, default=10, metavar="N", help="(default: %(default)s)")
    add_thread_option(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/openvino-benchmark"), metavar="PATH")
    return parser.parse_args(arguments)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, as in 800x1200, got {text}")
    return int(match[1]), int(match[2])


def _measure(options: argparse.Namespace) -> int:
    height, width = options.size
    image = cv2.resize(np.ascontiguousarray(photograph("astronaut")), (width, height), interpolation=cv2.INTER_CUBIC)
    threads = options.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    folder = options.output / re.sub(r"\W+", "-", options.source)
    folder.mkdir(parents=True, exist_ok=True)
    sides = [*torchvision_sides(options.source, image, folder, threads), *own_sides(options, folder, threads)]
    counts = [len(side.run(image)) for side in sides]
    seconds = seconds_in_turns([partial(side.run, image) for side in sides], options.rounds)
    print(f"{options.source}, image of {height}x{width}, {options.rounds} rounds, {threads} threads")
    print(f"load of the machine: {os.getloadavg()[1]:.1f} processes on {os.cpu_count()} cores in the last 5 minutes")
    print(table([side.name for side in sides], seconds, counts))
    return 0


def table(names: Sequence[str], seconds: np.ndarray, counts: Sequence[int]) -> str:
    """Return what each side takes, and how many times as fast as the first side it is in the same round.

    Args:
        names: of the sides.
        seconds: [rounds, sides].
        counts: how many masks each side gives.
    """
    lines = [f"{'':42} {'median':>9} {'least':>9}  masks  times as fast as {names[0]} (least to most of a round)"]
    for name, column, count in zip(names, seconds.T, counts, strict=True):
        median, least = 1e3 * np.median(column), 1e3 * column.min()
        lines.append(f"{name:42} {median:6.0f} ms {least:6.0f} ms  {count:5}  {ratio(seconds[:, 0], column)}")
    return "\n".join(lines)


def torchvision_sides(source: str, image: np.ndarray, folder: Path, threads: int) -> list[Side]:
    """Torchvision eager, and its own ONNX export in ONNX Runtime and in OpenVINO."""
    model: Any = load_source(SourceOptions(source)).model.eval()
    postprocess = model.transform.postprocess
    path = folder / "torchvision.onnx"
    if not path.exists():
        model.transform.postprocess = lambda found, sizes, original_sizes: found
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                ([_tensor(image)],),
                str(path),
                opset_version=17,
                dynamo=False,
                input_names=["image"],
                output_names=list(_OUTPUTS),
            )
        model.transform.postprocess = postprocess
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    network = openvino.Core().compile_model(str(path), DEVICE, {**CONFIG, "INFERENCE_NUM_THREADS": threads})
    request = network.create_infer_request()

    def eager(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return _binary(model([_tensor(pixels)])[0])

    def finish(pixels: np.ndarray, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Torchvision's own last step."""
        found = {name: torch.from_numpy(value) for name, value in zip(_OUTPUTS, outputs, strict=True)}
        size = pixels.shape[:2]
        canvas = model.transform([_tensor(pixels)])[0].image_sizes
        with torch.inference_mode():
            return _binary(postprocess([found], canvas, [size])[0])

    def in_onnx_runtime(pixels: np.ndarray) -> np.ndarray:
        return finish(pixels, session.run(list(_OUTPUTS), {"image": _tensor(pixels).numpy()}))

    def in_openvino(pixels: np.ndarray) -> np.ndarray:
        request.infer({"image": _tensor(pixels).numpy()}, share_inputs=True)
        return finish(pixels, [request.get_tensor(name).data.copy() for name in _OUTPUTS])

    return [
        Side("torchvision, eager", eager),
        Side("torchvision's export, ONNX Runtime", in_onnx_runtime),
        Side("torchvision's export, OpenVINO", in_openvino),
    ]


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    """[3, H, W] float32, 0 to 1."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _binary(found: Mapping[str, torch.Tensor]) -> np.ndarray:
    return (found["masks"][:, 0] > 0.5).numpy()


def own_sides(options: argparse.Namespace, folder: Path, threads: int) -> list[Side]:
    """Return the exported file in ONNX Runtime, and in OpenVINO at each precision."""
    source = folder / "model.onnx"
    if not source.exists():
        _maskrt("export", options.source, "--output", source)
    files = [source]
    for precision in _PRECISIONS:
        onnx = source if precision == _PRECISIONS[0] else folder / f"model.{precision}.onnx"
        if not onnx.exists():
            images = ["--images", *options.images] if PRECISIONS[precision].calibrated else []
            _maskrt("quantize", source, "--precision", precision, *images, "--output", onnx)
        _maskrt("engine", onnx, "--target", "openvino", "--precision", precision)
        files.append(onnx.with_suffix(".openvino.xml"))
    segmenters = [Segmenter(file, threads=threads) for file in files]
    return [Side(f"{s.path.name}, {s.providers[0].partition(' on ')[0]}", _predict(s)) for s in segmenters]


def _predict(segmenter: Segmenter) -> Run:
    return lambda pixels: segmenter.predict(pixels).masks()


def _maskrt(*words: object) -> None:
    """One verb, in a process of its own."""
    command = [sys.executable, "-m", "maskrt.cli", *map(str, words)]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise ArgumentError(f"`maskrt {' '.join(map(str, words))}` failed, see above.")


if __name__ == "__main__":
    sys.exit(main())
