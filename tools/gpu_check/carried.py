"""What a check brings along from a machine that has more packages: `python -m maskrt.tools.gpu_check --prepare`.

The demo model's weights in a file that torch reads by itself, pictures with what ONNX Runtime finds in them on a CPU,
the exported file, held-out scenes with what is in them, and engines that TensorRT-RTX built without a GPU.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

SHAPES_STATE = "shapes.pt"
REFERENCE = "reference.npz"
ONNX = "shapes.onnx"
ANNOTATIONS = "scenes/annotations.json"
SCENES = 100
"""Of the held-out ones, to measure accuracy with: half of what `make evaluate` takes, for 20 MB to carry."""

ENGINE_TARGETS = ("a100", "rtx4090", "rtx5090")
"""What engines are built for: one of the capabilities of each, for GPUs that TensorRT-RTX does not list, too."""

_PICTURES = 2


def prepare(folder: Path) -> None:
    """Write the folder."""
    import torch

    from maskrt.contract.tensors import make_feed
    from maskrt.export.exporter import export_onnx
    from maskrt.runtime import Segmenter
    from maskrt.shapes.dataset import write_dataset
    from maskrt.shapes.model import shapes_model
    from maskrt.shapes.scenes import generate_scene

    folder.mkdir(parents=True, exist_ok=True)
    model = shapes_model()
    torch.save(model.state_dict(), folder / SHAPES_STATE)
    onnx = export_onnx(model, folder / ONNX)
    segmenter = Segmenter(onnx, providers=["CPUExecutionProvider"])
    batch = segmenter.preprocess([generate_scene(seed, "test").image for seed in range(_PICTURES)])
    found = segmenter._backend.run(make_feed(batch.canvas, batch.image_sizes, 0.05, 0.5))
    arrays: dict[str, Any] = {"images": batch.canvas, "image_sizes": batch.image_sizes, **found.outputs}
    np.savez_compressed(folder / REFERENCE, **arrays)
    write_dataset((folder / ANNOTATIONS).parent, SCENES)
    for target in ENGINE_TARGETS:
        profile = ("--min=1x256x256", "--opt=1x320x448", "--max=2x576x576")
        output = folder / f"shapes.{target}.engine"
        command = [sys.executable, "-m", "maskrt.engines", str(onnx), f"--target={target}", f"--output={output}"]
        if subprocess.run([*command, "--builder=tensorrt-rtx", *profile], check=False).returncode:
            print(f"no engine for {target}: see above", file=sys.stderr)
