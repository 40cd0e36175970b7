"""`build_engine`: an exported ONNX file becomes an engine for a named target, with a manifest beside it."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TextIO

from maskrt.contract.manifest import (
    BuildInputs,
    EngineFile,
    Manifest,
    check_engine_files,
    manifest_path,
    read_manifest,
)
from maskrt.contract.precision import SOURCE_PRECISION, find_precision
from maskrt.engines.builders.base import Builder
from maskrt.engines.builders.registry import choose_builder
from maskrt.engines.files import write_together
from maskrt.engines.gpu import local_gpu
from maskrt.engines.onnx_model import OnnxModel, read_onnx_model
from maskrt.engines.request import BuildOptions, BuildReport, BuildRequest, BuildResult
from maskrt.engines.targets import check_precision, find_target
from maskrt.errors import ArgumentError, ModelError
from maskrt.files import check_writable, remove_stale
from maskrt.terminal import say


def build_engine(request: BuildRequest, stream: TextIO | None = None) -> BuildResult:
    """Build an engine, or find it where the same inputs gave it before.

    The precision of each layer is the ONNX file's.

    Args:
        request: what to build.
        stream: where warnings and progress go; by default, `sys.stderr`.

    Raises:
        ArgumentError: the target, an option, or their combination with the model or this machine does not work.
        DependencyError: a package is missing or too old.
        ModelError: the ONNX file is missing, damaged, or not exported by maskrt.
        EngineError: the builder refuses the model, something that it needs does not fit, or the engine cannot be
            written.
    """
    stream = sys.stderr if stream is None else stream
    gpu = local_gpu()
    target = find_target(request.target, gpu)
    model = read_onnx_model(request.onnx)
    if request.precision is not None:
        check_file_precision(model, request.precision)
    check_precision(target, model.metadata.precision)
    builder = choose_builder(target, model.metadata.precision, request.builder, gpu)
    check_options(builder, request.options)
    engine = default_output(model.path, target.name, builder) if request.output is None else request.output
    _check_output(engine, builder, model.path)

    inputs = builder.inputs(model, target, request.options, stream)
    existing = _find_existing(engine, inputs, stream)
    if existing is not None:
        return BuildResult(engine, existing, None)
    start = time.perf_counter()
    built = builder.build(model, inputs, engine, request.options, stream)
    seconds = time.perf_counter() - start
    manifest = Manifest(
        files={suffix: EngineFile.of(content) for suffix, content in built.files.items()},
        build=inputs,
        inputs=built.inputs,
        outputs=built.outputs,
        plugin_layers=dict(sorted(built.plugin_layers.items())),
        model=model.properties,
    )
    contents = dict(zip(manifest.paths(engine), built.files.values(), strict=True))
    write_together({**contents, manifest_path(engine): manifest.to_json().encode()})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return BuildResult(engine, manifest, BuildReport(seconds, peak, built.layers, model.weights_bytes))


def default_output(onnx: Path, target: str, builder: Builder) -> Path:
    """Where an engine is written by default: beside the ONNX file, `model.int8.onnx` as `model.int8.t4.engine`."""
    suffix = builder.suffix.removeprefix(f".{target}")
    return onnx.with_name(f"{onnx.name.removesuffix('.onnx')}.{target}{suffix}")


def check_file_precision(model: OnnxModel, precision: str) -> None:
    """Check that the ONNX file has a precision: it is a property of the file, and no builder changes it.

    Raises:
        ArgumentError: it has another; the message says how to make a file of that precision.
    """
    has, wanted = model.metadata.precision, find_precision(precision)
    if has == wanted.name:
        return
    if wanted.name == SOURCE_PRECISION:
        raise ArgumentError(
            f"{model.path} is {has}, but an engine of {wanted.name} is asked for. Build it from the file that "
            "`maskrt export` wrote."
        )
    source = str(model.path) if has == SOURCE_PRECISION else "MODEL.onnx"
    images = " --images PATH" if wanted.calibrated else ""
    raise ArgumentError(
        f"{model.path} is {has}, but an engine of {wanted.name} is asked for. Make a file of it first: "
        f"`maskrt quantize {source} --precision {wanted.name}{images}`"
        + (", and build from that." if has == SOURCE_PRECISION else f", from the model's {SOURCE_PRECISION} file.")
    )


def check_options(builder: Builder, options: BuildOptions) -> None:
    """Check that a builder takes all that was said.

    Raises:
        ArgumentError: it does not; the message says why.
    """
    for name in options.given:
        if name in builder.refusals:
            raise ArgumentError(f"{builder.title} {builder.refusals[name]}: drop --{name.replace('_', '-')}.")


def _check_output(engine: Path, builder: Builder, onnx: Path) -> None:
    check_writable(engine)
    remove_stale(engine.parent)
    check_writable(manifest_path(engine))
    if engine.exists() and engine.samefile(onnx):
        raise ArgumentError(f"The engine would overwrite its ONNX file {engine}: choose another --output.")
    if not engine.name.endswith(builder.suffix) or engine.name == builder.suffix:
        raise ArgumentError(
            f"The engine {engine} must have a name and end in {builder.suffix}, by which the runtime knows it: choose "
            "another --output."
        )


def _find_existing(engine: Path, inputs: BuildInputs, stream: TextIO) -> Manifest | None:
    """Return the manifest of an engine that need not be built again."""
    if not engine.exists():
        return None
    try:
        manifest = read_manifest(engine)
        if manifest.build != inputs:
            return None
        check_engine_files(engine, manifest)
    except ModelError as error:
        say(f"Building again: {error}", file=stream)
        return None
    return manifest
