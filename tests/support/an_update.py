"""Builders for updates of a meter in memory: its root, its start, what must be whole."""

from boards import start
from boards.parts.slots import Slots
from firmware.update import Update
from tests.support.fake_files import FakeFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = ""
OLD = (("firmware/app.mpy", b"the old application"), ("wire/frame.mpy", b"old frames"))


def a_root(slots: str = "a") -> FakeFiles:
    """A disk with the old application in these slots."""
    disk = FakeFiles()
    for slot in slots:
        disk.folders.update(("/" + slot, "/" + slot + "/firmware", "/" + slot + "/wire"))
        disk.files["/" + slot + "/WHOLE"] = b"0.1.0"
        for path, content in OLD:
            disk.files["/" + slot + "/" + path] = content
    return disk


def powered(disk: FakeFiles) -> Update:
    """The update as the application sees it that boots now."""
    disk.power_on()
    start.running, _ = start.choose(ROOT)
    return Update(Slots(ROOT))


def assert_whole(disk: FakeFiles, slot: str, files: "Iterable[tuple[str, bytes]]") -> None:
    """The slot holds every byte of these files."""
    for path, content in files:
        assert disk.files["/" + slot + "/" + path] == content, path
