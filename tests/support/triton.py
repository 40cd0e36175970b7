"""The Triton that the wheel of nvidia-pytriton brings, on the CPU and with nothing but the Python backend."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path

LIBRARIES = Path(sysconfig.get_config_var("LIBDIR") or "/nowhere")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def binaries() -> Path | None:
    """The folder of the server; None: the wheel is not installed."""
    found = importlib.util.find_spec("pytriton")
    return None if found is None or found.origin is None else Path(found.origin).parent / "tritonserver"


def missing() -> str | None:
    """Why Triton cannot be run here."""
    folder = binaries()
    if folder is None or importlib.util.find_spec("tritonclient") is None:
        return "`make triton-check` installs Triton, and runs this"
    if not (folder / "python_backend_stubs" / VERSION).is_dir():
        return f"this Triton has no Python backend for Python {VERSION}"
    if not list(LIBRARIES.glob(f"libpython{VERSION}.so*")):
        return f"this Python has no shared library in {LIBRARIES}, which Triton's Python backend opens"
    return None


class Server:
    """Triton on a model repository, until `stop`.

    Args:
        repository: that `maskrt package --format triton` wrote. Its wheel is what the Python model imports.
        folder: for the backend and its Python; an empty one.
    """

    def __init__(self, repository: Path, folder: Path) -> None:
        self.url, self.metrics_url = (f"127.0.0.1:{_free_port()}" for _ in range(2))
        self.log_path = folder / "log.txt"
        server = binaries()
        assert server is not None
        command = [
            str(server / "bin" / "tritonserver"),
            f"--model-repository={repository / 'models'}",
            f"--backend-directory={_backends(server, folder)}",
            f"--backend-config=python,shm-region-prefix-name=maskrt-{os.getpid()}-{folder.name}",
            "--http-address=127.0.0.1",
            f"--http-port={self.url.partition(':')[2]}",
            "--allow-grpc=false",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={self.metrics_url.partition(':')[2]}",
            "--exit-timeout-secs=5",
        ]
        # The backend takes the Python that it finds on PATH: `python3` with what `pyvenv.cfg` beside it says.
        search = os.pathsep.join((str(_python(repository, folder)), os.environ["PATH"]))
        environment = {**os.environ, "PATH": search, "LD_LIBRARY_PATH": str(LIBRARIES)}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def wait_until_ready(self) -> None:
        """Wait for all models; what the server said is in the error where it ends."""
        while True:
            assert self.process.poll() is None, self.log
            try:
                urllib.request.urlopen(f"http://{self.url}/v2/health/ready", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return self.log_path.read_text(errors="replace")

    def metric(self, name: str, model: str) -> float:
        """The value of a metric of a model."""
        text = urllib.request.urlopen(f"http://{self.metrics_url}/metrics", timeout=30).read().decode()
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name}{{") and f'model="{model}"' in line)
        return float(line.rpartition(" ")[2])

    def stop(self) -> int:
        """End it as `docker stop` does; the exit code."""
        self.process.terminate()
        return self.process.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _backends(server: Path, folder: Path) -> Path:
    """The folder of the backends, whose stub is that for this version of Python."""
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    for path in (server / "backends" / "python").iterdir():
        (backend / path.name).symlink_to(path)
    name = "triton_python_backend_stub"
    (backend / name).symlink_to(server / "python_backend_stubs" / VERSION / name)
    return backend.parent


def _python(repository: Path, folder: Path) -> Path:
    """The folder of a Python that has the wheel of the repository before all that this Python has."""
    (wheel,) = repository.glob("maskrt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "wheel")
    venv.create(folder / "env", symlinks=True)
    packages = folder / "env" / "lib" / f"python{VERSION}" / "site-packages"
    others = [path for path in sys.path if path.endswith("-packages")]
    lines = [str(folder / "wheel"), *(f"import site; site.addsitedir({path!r})" for path in others)]
    (packages / "repository.pth").write_text("\n".join(lines) + "\n")
    return folder / "env" / "bin"
