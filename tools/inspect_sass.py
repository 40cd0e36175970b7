"""A table of what the compiler made of the kernels: `python -m maskrt.tools.inspect_sass`.

Per kernel and architecture: registers, shared and local memory, wide loads from and stores to global memory, and
accesses to local memory (spills). Needs cuobjdump and nvdisasm of the CUDA toolkit (Triton's wheel has them too).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from maskrt.plugins import libraries

_ARCHITECTURE = re.compile(r"^\s*(?:arch = |code for )(sm_\d+\w*)")
_FUNCTION = re.compile(r"^\s*Function\s*:?\s*(\w+):?\s*$")
_RESOURCES = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)")
_KERNEL_NAME = re.compile(
    r"(?:sort_tile|merge_runs|mask|resolve|resolve_rest|count_bins|collect|rank|merge_boxes|candidates|"
    r"gather_detections|roi_align|roi_align_linear|roi_order|decode_keypoints|resize_pad|pillow_weights|pillow_columns|"
    r"pillow_rows|paste_tile|paste_scan)_kernel"
)
_PTX_ENTRY = re.compile(r"\.entry\s+(\w+)")
_PTX_ARITHMETIC = re.compile(r"\b(fma|mul|add|sub)\.((?:rn\.)?)(?:ftz\.)?f(?:32|64)\b")


class ToolError(RuntimeError):
    """cuobjdump is missing or failed."""


@dataclass
class KernelFacts:
    """What one kernel is on one architecture. Memory in bytes, a block's or a thread's; the rest are instructions.

    `load_batches` are the 16-byte loads that are issued before an instruction uses what one of them brings.
    """

    kernel: str
    architecture: str
    registers: int = 0
    shared: int = 0
    stack: int = 0
    loads_8: int = 0
    loads_16: int = 0
    stores_16: int = 0
    local_accesses: int = 0
    instructions: int = 0
    load_batches: list[int] = field(default_factory=list)
    loading: set[int] = field(default_factory=set, repr=False)


def find_cuobjdump() -> Path | None:
    """Find cuobjdump on PATH, in /usr/local/cuda, or in Triton's wheel."""
    triton = importlib.util.find_spec("triton")
    folders = [os.environ.get("PATH", ""), "/usr/local/cuda/bin"]
    folders += (
        [f"{folder}/backends/nvidia/bin" for folder in (triton.submodule_search_locations or ())] if triton else []
    )
    found = shutil.which("cuobjdump", path=os.pathsep.join(folders))
    return Path(found) if found else None


def _tool() -> Path:
    tool = find_cuobjdump()
    if tool is None:
        raise ToolError("cuobjdump was not found. It comes with the CUDA toolkit; `pip install triton` has it too.")
    return tool


def inspect(library: Path) -> list[KernelFacts]:
    """Read the facts of every kernel of ours in a library, in the library's order.

    Raises:
        ToolError: cuobjdump is missing or failed.
    """
    tool = _tool()
    facts: dict[tuple[str, str], KernelFacts] = {}
    for option in ("-res-usage", "-sass"):
        architecture, current = "", None
        for line in _run(tool, option, library).splitlines():
            if match := _ARCHITECTURE.match(line):
                architecture = match[1]
            elif match := _FUNCTION.match(line):
                key = (match[1], architecture)
                current = facts.setdefault(key, KernelFacts(_readable(match[1]), architecture))
            elif current is not None:
                _read_line(line, current)
    return [kernel for kernel in facts.values() if _KERNEL_NAME.search(kernel.kernel)]


def fused_operations(library: Path) -> dict[str, int]:
    """Count the multiplications and additions of each kernel that are rounded together, in the library's PTX.

    These are the ones that the source fuses, and any that the compiler is still free to.

    Raises:
        ToolError: cuobjdump is missing or failed.
    """
    fused: dict[str, int] = {}
    kernel = ""
    for line in _run(_tool(), "-ptx", library).splitlines():
        if match := _PTX_ENTRY.search(line):
            kernel = _readable(match[1])
            fused[kernel] = 0
        elif match := _PTX_ARITHMETIC.search(line):
            fused[kernel] += match[1] == "fma" or not match[2]
    return fused


def _read_line(line: str, facts: KernelFacts) -> None:
    if match := _RESOURCES.search(line):
        facts.registers, facts.stack, facts.shared = map(int, match.groups())
    elif re.match(r"\s+/\*[0-9a-f]{4,}\*/", line):
        facts.instructions += 1
        facts.loads_8 += bool(re.search(r"\bLDG\.E\.64", line))
        facts.loads_16 += bool(re.search(r"\bLDG\.E\.128", line))
        facts.stores_16 += bool(re.search(r"\bSTG\.E\.128", line))
        facts.local_accesses += bool(re.search(r"\b(?:LDL|STL)\b", line))
        _follow_loads(line, facts)


def _follow_loads(line: str, facts: KernelFacts) -> None:
    operation = line.partition(";")[0]
    registers = [int(number) for number in re.findall(r"\bR(\d+)", operation)]
    is_load = "LDG.E.128" in operation
    read = registers if re.search(r"\bST[GSL]\b", operation) else registers[1:]
    if not facts.loading.isdisjoint(read):
        facts.loading.clear()
    if is_load:
        if not facts.loading:
            facts.load_batches.append(0)
        facts.load_batches[-1] += 1
        facts.loading.update(range(registers[0], registers[0] + 4))


def _readable(mangled: str) -> str:
    """Give our kernels' names and template arguments without the rest of the C++ name."""
    name = _KERNEL_NAME.search(mangled)
    if name is None:
        return mangled
    if name[0] in ("resize_pad_kernel", "pillow_rows_kernel"):
        arithmetic = " rounded" if name[0] == "resize_pad_kernel" and "ResizeUint8" in mangled else ""
        canvas, whole = re.search(r"([hf])Lb(\d)E", mangled).groups()  # type: ignore[union-attr]
        vectors = "vectors" if whole == "1" else "numbers"
        return f"{name[0]}{arithmetic} {'uint8' if canvas == 'h' else 'float32'} {vectors}"
    if name[0] in ("paste_tile_kernel", "paste_scan_kernel"):
        rule = "pixel_centers" if "PixelCenters" in mangled else "integer_box"
        step = "" if name[0] == "paste_scan_kernel" else " write" if "Lb1E" in mangled else " count"
        return f"{name[0]} {rule}{step}"
    if name[0] not in ("roi_align_kernel", "roi_align_linear_kernel"):
        return name[0]
    layout = "channels-last" if "ChannelsLast" in mangled else "channels-first"
    data_type = "float16" if "__half" in mangled else "float32"
    mode, ratio = re.search(r"PoolModeE(\d)ELi(\d+)E", mangled).groups()  # type: ignore[union-attr]
    if name[0] == "roi_align_linear_kernel":
        layout = "channels-last to linear"
    return f"{name[0]} {data_type} {layout} {'max' if mode == '1' else 'avg'} ratio {ratio}"


def _run(tool: Path, option: str, library: Path) -> str:
    environment = {**os.environ, "PATH": f"{tool.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [str(tool), option, str(library)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m maskrt.tools.inspect_sass", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help=f"default: {libraries.PLUGINS} in its usual place")
    options = parser.parse_args(arguments)
    try:
        rows = inspect(options.file or libraries.find(libraries.PLUGINS))
    except (ToolError, libraries.PluginLibraryError) as error:
        print(error, file=sys.stderr)
        return 1
    columns = "registers shared stack 8-byte-loads 16-byte-loads 16-byte-stores local instructions"
    print(f"{'kernel':68} {'arch':7} {columns}")
    for row in sorted(rows, key=lambda row: (row.kernel, row.architecture)):
        print(
            f"{row.kernel:68} {row.architecture:7} {row.registers:9} {row.shared:6} {row.stack:5} {row.loads_8:12} "
            f"{row.loads_16:13} {row.stores_16:14} {row.local_accesses:5} {row.instructions:12}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
