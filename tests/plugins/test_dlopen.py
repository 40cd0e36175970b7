"""Opening the libraries from programs that know nothing of maskrt, as Triton, trtexec and DeepStream do.

TensorRT-RTX's registry, which needs no GPU, stands for that of TensorRT.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskrt.plugins import libraries
from maskrt.plugins.loader import PLUGIN_NAMES

LIBRARIES = (libraries.PLUGINS, libraries.AUTOLOAD)

# What every Linux system with a C++ runtime has; no CUDA, no driver, no TensorRT.
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libstdc++.so.6", "libgcc_s.so.1"}

PROGRAM = r"""
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

int main(int argc, char** argv)
{
    void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int32_t count = 0;
    void* const* (*get_creators)(int32_t*) = (void* const* (*)(int32_t*))dlsym(library, "getCreators");
    void (*set_logger_finder)(void*) = (void (*)(void*))dlsym(library, "setLoggerFinder");
    const char* (*version)(void) = (const char* (*)(void))dlsym(library, "maskrt_plugins_version");
    if (get_creators == NULL || set_logger_finder == NULL || version == NULL)
        return 2;
    set_logger_finder(NULL);
    void* const* creators = get_creators(&count);
    for (int32_t i = 0; i < count; ++i)
        if (creators[i] == NULL)
            return 3;
    printf("%d creators, %s\n", count, version());
    return dlclose(library) == 0 ? 0 : 4;
}
"""


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin"},
    )


def test_from_a_c_program(plugin_directory: Path, tmp_path: Path) -> None:
    """RTLD_NOW resolves every symbol at once; the program links with nothing but libc."""
    (tmp_path / "open.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-o", tmp_path / "open", tmp_path / "open.c", "-ldl"], check=True)
    result = run(tmp_path / "open", plugin_directory / libraries.PLUGINS)
    assert result.returncode == 0, result.stderr
    assert re.match(rf'{len(PLUGIN_NAMES)} creators, {{"version": "\d', result.stdout)


@pytest.mark.parametrize("name", LIBRARIES)
def test_needs_nothing_but_the_system(plugin_directory: Path, name: str) -> None:
    """No library is missing, and none is needed beyond libc and libstdc++: no CUDA, no driver, no TensorRT."""
    found = run("ldd", plugin_directory / name)
    assert found.returncode == 0
    assert "not found" not in found.stdout
    dynamic = run("readelf", "--dynamic", plugin_directory / name).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    assert needed
    assert needed <= SYSTEM | {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)  # nothing of the machine that compiled it


@pytest.mark.parametrize("name", LIBRARIES)
def test_undefined_symbols_are_the_systems(plugin_directory: Path, name: str) -> None:
    """Each belongs to a version of libc, libstdc++ or libgcc, or is weak."""
    lines = run("nm", "--dynamic", "--undefined-only", plugin_directory / name).stdout.splitlines()
    strong = [line.split()[-1] for line in lines if line.split()[0] == "U"]
    assert strong
    assert [symbol for symbol in strong if not re.search(r"@(GLIBC|GLIBCXX|CXXABI|GCC)_", symbol)] == []


def test_exports(plugin_directory: Path) -> None:
    """The two functions that TensorRT looks for and maskrt's own; no symbol of CUDA that another library could take."""
    lines = run("nm", "--dynamic", "--defined-only", plugin_directory / libraries.PLUGINS).stdout.splitlines()
    functions = {line.split()[-1] for line in lines if line.split()[1] == "T"}
    assert {"getCreators", "setLoggerFinder"} <= functions
    assert {name for name in functions if not name.startswith("maskrt_")} == {"getCreators", "setLoggerFinder"}


# Opens argv[1] after TensorRT as Triton does (dlopen, RTLD_LOCAL), and prints the plugins that are registered then.
TRITON = """
import ctypes, os, sys
import tensorrt_rtx as trt
registry = trt.get_plugin_registry()
ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW | os.RTLD_LOCAL)
names = sorted(creator.name for creator in registry.all_creators)
print(*(name for name in names if name in sys.argv[2:]))
"""


def test_autoload_registers_the_plugins_where_a_program_only_opens_a_library(plugin_directory: Path) -> None:
    """Which opening the plugin library itself does not: TensorRT's registry would have to load it."""
    pytest.importorskip("tensorrt_rtx")
    alone = run(sys.executable, "-c", TRITON, plugin_directory / libraries.PLUGINS, *PLUGIN_NAMES)
    assert (alone.returncode, alone.stdout.strip()) == (0, ""), alone.stderr
    result = run(sys.executable, "-c", TRITON, plugin_directory / libraries.AUTOLOAD, *PLUGIN_NAMES)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == sorted(PLUGIN_NAMES), result.stderr
    assert "libmaskrt" not in result.stderr


def test_autoload_without_tensorrt_says_so(plugin_directory: Path) -> None:
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('goes on')"
    result = run(sys.executable, "-c", code, plugin_directory / libraries.AUTOLOAD)
    assert (result.returncode, result.stdout) == (0, "goes on\n")
    assert "there is no TensorRT in this process yet" in result.stderr


# A libnvinfer.so that is not TensorRT's: its registry has one virtual function at SLOT that refuses, and nothing else.
FAKE_TENSORRT = """
#include <stdio.h>
static void* refuse(void* self, const char* path) { fprintf(stderr, "asked for %s\\n", path); return 0; }
static void* const table[24] = {[SLOT] = refuse};
static void* const* registry = table;
void* getPluginRegistry(void) { return &registry; }
int getInferLibVersion(void) { return VERSION; }
"""


@pytest.mark.parametrize(("version", "slot"), [(81602, None), (100300, 10), (101401, 10), (110400, 6), (120000, None)])
def test_autoload_with_a_tensorrt_that_does_not_take_them(
    plugin_directory: Path, tmp_path: Path, version: int, slot: int | None
) -> None:
    """One that refuses is named, and one too old or too new to be known is not called at all; the process goes on."""
    source = FAKE_TENSORRT.replace("VERSION", str(version)).replace("SLOT", str(slot or 0))
    (tmp_path / "fake.c").write_text(source)
    fake = tmp_path / "libnvinfer.so.99"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", fake, tmp_path / "fake.c"], check=True)
    code = "import ctypes, sys; [ctypes.CDLL(path) for path in sys.argv[1:]]; print('goes on')"
    result = run(sys.executable, "-c", code, fake, plugin_directory / libraries.AUTOLOAD)
    assert (result.returncode, result.stdout) == (0, "goes on\n"), result.stderr
    assert (f"asked for {plugin_directory / libraries.PLUGINS}\n" in result.stderr) == (slot is not None)
    assert f"libnvinfer.so.99 (version {version}) did not take" in result.stderr
