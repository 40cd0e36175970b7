import io

from maskrt.runtime.progress import Progress


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
