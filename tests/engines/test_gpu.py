"""Asking the CUDA driver for the GPU."""

import subprocess
from pathlib import Path

import pytest

from maskrt.engines.gpu import Gpu, local_gpu

DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGet(int* device, int ordinal) { *device = 7; return 0; }
int cuDeviceGetName(char* name, int size, int device) { strcpy(name, "GeForce"); return device != 7; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = attribute == 75 ? 12 : attribute == 76 ? 1 : -1;
    return device != 7;
}
"""


def stand_in_driver(folder: Path, init_result: int) -> str:
    source, library = folder / "driver.c", folder / f"libcuda{init_result}.so"
    source.write_text(DRIVER)
    subprocess.run(["cc", "-shared", "-fPIC", f"-DINIT={init_result}", str(source), "-o", str(library)], check=True)
    return str(library)


def test_name_and_compute_capability(tmp_path: Path) -> None:
    assert local_gpu(stand_in_driver(tmp_path, 0)) == Gpu("GeForce", "12.1")


def test_driver_without_a_gpu(tmp_path: Path) -> None:
    assert local_gpu(stand_in_driver(tmp_path, 100)) is None  # CUDA_ERROR_NO_DEVICE


def test_no_driver() -> None:
    assert local_gpu("libno-such-driver.so") is None


@pytest.mark.gpu
def test_agrees_with_torch() -> None:
    import torch

    major, minor = torch.cuda.get_device_capability(0)
    assert local_gpu() == Gpu(torch.cuda.get_device_name(0), f"{major}.{minor}")
