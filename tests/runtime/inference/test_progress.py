import io

from maskrt.runtime.inference.progress import Progress, count


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_per_image_in_a_file() -> None:
    stream = io.StringIO()
    progress = Progress(2, stream)
    progress.step("a.jpg: 3 disks")
    progress.fail("failed: b.jpg is empty.")
    progress.close()
    assert stream.getvalue() == "[1/2] a.jpg: 3 disks\n[2/2] failed: b.jpg is empty.\n"


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    progress = Progress(4, stream)
    progress.step("a.jpg: 3 disks")
    progress.fail("failed: b.jpg is empty.")
    bar = stream.getvalue().rsplit("\r", 1)[1]
    assert "━" * 15 + "─" * 15 + " 2/4" in bar
    assert "images/s" in bar
    assert "\nfailed" not in stream.getvalue()
    assert "failed: b.jpg is empty.\n" in stream.getvalue()
    assert "3 disks" not in stream.getvalue()
    progress.close()
    assert stream.getvalue().endswith("\r\033[K")


def test_images_without_a_line() -> None:
    stream = io.StringIO()
    progress = Progress(3, stream)
    progress.step(None)
    progress.step("frame 1")
    assert stream.getvalue() == "[2/3] frame 1\n"


def test_nobody_knows_how_many() -> None:
    stream = io.StringIO()
    Progress(None, stream).step("frame 0")
    assert stream.getvalue() == "[1] frame 0\n"
    terminal = Terminal()
    Progress(None, terminal, unit="frames").step("frame 0")
    bar = terminal.getvalue()
    assert bar.startswith("\r\033[K1  ")
    assert bar.endswith(" frames/s")


def test_more_images_than_foretold() -> None:
    """A video may hold more frames than its header says."""
    terminal = Terminal()
    progress = Progress(1, terminal)
    progress.step(None)
    progress.step(None)
    assert terminal.getvalue().endswith("s  0 s left")
    assert "━" * 31 not in terminal.getvalue()


def test_count() -> None:
    assert [count(number, "frame") for number in range(3)] == ["0 frames", "1 frame", "2 frames"]
