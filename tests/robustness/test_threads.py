"""Many threads on one `Segmenter`, and workers that die: results as in a serial run, whole files, no deadlock."""

import ctypes
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.contract.seal import sealed
from maskrt.contract.tensors import IMAGE_SIZES
from maskrt.runtime import MaskrtError, Segmenter, read_image
from maskrt.runtime.backends.base import Detections
from maskrt.shapes.scenes import generate_scene

from .model_files import small_model

THREADS = 8
SECONDS = 240
"""After which a test fails instead of waiting on."""

Records = list[dict[str, Any]]


@pytest.fixture(scope="module")
def segmenter(shapes_onnx: Path) -> Segmenter:
    return Segmenter(shapes_onnx, threads=1)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """One, and two others of the same size, which would mix if threads shared memory."""
    first, *others = (generate_scene(number, "test").image for number in range(3))
    return [first, *(np.ascontiguousarray(image[:224, :224]) for image in others)]


@pytest.fixture(scope="module")
def serial(segmenter: Segmenter, images: list[np.ndarray]) -> list[Records]:
    """What one thread finds in each image."""
    return [segmenter.predict(image).to_coco(1) for image in images]


def start(work: Callable[[int], None], number: int = THREADS) -> list[threading.Thread]:
    """Threads `work(0)`, `work(1)`, …; daemons, so that a deadlock fails a test and does not hang the run."""
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(number)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    assert not any(thread.is_alive() for thread in threads), f"threads still work or wait after {SECONDS} s"


def test_eight_threads_find_what_one_finds(
    segmenter: Segmenter, images: list[np.ndarray], serial: list[Records]
) -> None:
    found: list[list[Records | None]] = [[None] * len(images) for _ in range(THREADS)]

    def work(thread: int) -> None:
        for i in range(len(images)):
            i = (i + thread) % len(images)  # different images at the same time
            found[thread][i] = segmenter.predict(images[i]).to_coco(1)

    join(start(work))
    assert sum(map(len, serial)) > 20
    assert found == [serial] * THREADS


class _Killed(BaseException):
    """Nothing in maskrt catches this."""


def kill(thread: threading.Thread) -> None:
    """Raises `_Killed` in a thread, wherever it is, before its next step in Python."""
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Killed))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_threads_that_are_killed_take_nothing_with_them(
    segmenter: Segmenter, images: list[np.ndarray], serial: list[Records]
) -> None:
    """Half of the threads die somewhere in the middle, one after the other; the others find all, and so do new ones."""
    found: dict[int, list[Records]] = {}
    goes_on = threading.Event()

    def work(thread: int) -> None:
        while thread % 2 and not goes_on.is_set():  # until it is killed
            segmenter.predict(images[thread % len(images)]).rle()
        found[thread] = [segmenter.predict(image).to_coco(1) for image in images]

    threads = start(work)
    deadline = time.monotonic() + SECONDS
    for victim in threads[1::2]:
        time.sleep(0.05)
        while victim.is_alive() and time.monotonic() < deadline:
            kill(victim)  # more than once if need be: what is raised within a finalizer is lost
            victim.join(10)
    join(threads)
    goes_on.set()
    assert found == dict.fromkeys(range(0, THREADS, 2), serial)
    assert [segmenter.predict(image).to_coco(1) for image in images] == serial


def test_an_error_in_one_thread_is_its_own(
    segmenter: Segmenter, images: list[np.ndarray], serial: list[Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine fails for every batch of one size; only the threads with that image see it."""
    backend: Any = segmenter._backend
    run, bad_size = backend.run, segmenter.preprocess([images[0]]).image_sizes.tolist()

    def fail_on_one_size(feed: dict[str, np.ndarray]) -> Detections:
        if feed[IMAGE_SIZES].tolist() == bad_size:
            raise MaskrtError("the engine failed.")
        return run(feed)

    monkeypatch.setattr(backend, "run", fail_on_one_size)
    found: dict[int, Records | str] = {}

    def work(thread: int) -> None:
        try:
            found[thread] = segmenter.predict(images[thread % len(images)]).to_coco(1)
        except MaskrtError as error:
            found[thread] = str(error)

    join(start(work))
    expected = ["the engine failed.", *serial[1:]]
    assert found == {thread: expected[thread % len(images)] for thread in range(THREADS)}


# --- A process that is killed while it writes ---

WRITER = """
import sys
from pathlib import Path
from maskrt.files import write_in_one_step
folder = Path(sys.argv[1])
def write_in_two_steps(path, content):
    with path.open("wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        file.write(content[len(content) // 2 :])
write = {"one": write_in_one_step, "two": write_in_two_steps}[sys.argv[2]]
print("ready", flush=True)
while True:
    for letter in b"ab":
        write(folder / "results.json", bytes([letter]) * 4_000_000)
"""


def contents_after_kills(folder: Path, way: str, kills: int) -> list[bytes]:
    """What lies in the file after each of some processes was killed while writing it."""
    contents = []
    for number in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), way], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            deadline = time.monotonic() + SECONDS
            while not (folder / "results.json").exists():  # the first one needs a while on a busy machine
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(0.05 + 0.007 * number)
            process.kill()
        contents.append((folder / "results.json").read_bytes())
    return contents


def is_whole(content: bytes) -> bool:
    return len(content) == 4_000_000 and len(set(content)) == 1


def test_a_killed_process_leaves_whole_files(tmp_path: Path) -> None:
    assert all(map(is_whole, contents_after_kills(tmp_path, "one", 5)))


def test_killed_processes_that_write_in_two_steps_are_seen(tmp_path: Path) -> None:
    """The control of the test above."""
    assert not all(map(is_whole, contents_after_kills(tmp_path, "two", 5)))


def test_infer_that_is_killed_leaves_whole_files_and_can_be_run_again(tmp_path: Path) -> None:
    model, pictures, output = tmp_path / "model.onnx", tmp_path / "pictures", tmp_path / "out"
    model.write_bytes(sealed(small_model().SerializeToString()))
    pictures.mkdir()
    scene = generate_scene(0, "test").image
    for number in range(40):
        cv2.imwrite(str(pictures / f"{number:02}.jpg"), scene)
    arguments = [str(model), "--images", str(pictures), "--output", str(output)]
    command = [sys.executable, "-m", "maskrt.runtime.infer", *arguments]

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + SECONDS
    while len(list((output / "overlays").glob("[0-9]*.jpg"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    written = list((output / "overlays").glob("[0-9]*.jpg"))
    assert 5 <= len(written) < 40
    for path in written:
        assert read_image(path).shape == read_image(pictures / path.name).shape
    assert not (output / "results.json").exists()

    again = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert again.returncode == 0, again.stderr
    assert len(list((output / "overlays").glob("[0-9]*.jpg"))) == 40
    assert len({record["image_id"] for record in json.loads((output / "results.json").read_text())}) == 40
