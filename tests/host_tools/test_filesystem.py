"""The file system we build: what MicroPython and littlefs of 2021 find in it, what is refused."""

import logging
import platform
import random
import subprocess
import sys
from pathlib import Path

import pytest
from littlefs import LittleFS

from host_tools import fetch_old_littlefs
from host_tools.image import filesystem
from host_tools.image.errors import FilesRefused
from host_tools.image.filesystem import BLOCK_BYTES, FREE_BYTES_MIN
from host_tools.micropython import find_micropython, micropython_env

SIZE = 0x100000
NEWER = 0x0002_0001

DEVICE = """
import os, sys
from hashlib import sha256

class Blocks:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.blocks = os.stat(path)[6] // 4096
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)
    def ioctl(self, operation, argument):
        return {4: self.blocks, 5: 4096}.get(operation, 0)

def walk(folder):
    for name, kind, *_ in sorted(os.ilistdir(folder)):
        path = folder + "/" + name
        if kind == 0x4000:
            walk(path)
        else:
            with open(path, "rb") as file:
                print(path[3:], sha256(file.read()).digest().hex())

os.mount(os.VfsLfs2(Blocks(sys.argv[1])), "/f")
walk("/f")
if len(sys.argv) > 2:
    with open("/f/" + sys.argv[2], "w") as file:
        file.write("written by a meter")
os.umount("/f")
"""

OLD_LIBRARY = """
import sys
import littlefs
content = bytearray(open(sys.argv[1], "rb").read())
system = littlefs.LittleFS(
    block_size=4096, block_count=len(content) // 4096, mount=False,
    read_size=32, prog_size=int(sys.argv[2]), cache_size=4096, lookahead_size=32,
)
system.context.buffer = content
try:
    system.mount()
except littlefs.errors.LittleFSError as error:
    sys.exit("refused %d" % error.code)
for folder, _, names in system.walk("/"):
    for name in names:
        with system.open(folder.rstrip("/") + "/" + name, "rb") as file:
            print((folder.rstrip("/") + "/" + name)[1:], len(file.read()))
"""


def some_files() -> dict[str, bytes]:
    """Files around every size at which littlefs keeps them in another way."""
    noise = random.Random(5)
    files = {
        f"f{length}.bin": noise.randbytes(length)
        for length in (0, 1, 100, 127, 128, 129, 511, 512, 513, 4095, 4096, 4097, 25_600)
    }
    return files | {"a/firmware/app.mpy": noise.randbytes(3000), "a/WHOLE": b"1.2.3"}


def on_a_meter(image: Path, *arguments: str) -> dict[str, str]:
    """path -> SHA-256, as the real MicroPython finds it."""
    script = image.with_suffix(".py")
    script.write_text(DEVICE)
    told = subprocess.run(
        [find_micropython(), script, image, *arguments],
        env=micropython_env(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return dict(line.split(" ", 1) for line in told.stdout.splitlines())


def hashes_of(files: dict[str, bytes]) -> dict[str, str]:
    from hashlib import sha256

    return {path: sha256(content).hexdigest() for path, content in sorted(files.items())}


def a_newer_image() -> bytes:
    """What littlefs-python makes when nobody tells it a version."""
    memory = filesystem.Memory(buffer=bytearray(b"\xff" * SIZE))
    system = LittleFS(memory, block_size=BLOCK_BYTES, block_count=SIZE // BLOCK_BYTES, mount=False)
    system.format()
    return bytes(memory.buffer)


def test_files_go_in_and_come_back_and_the_same_files_make_the_same_bytes() -> None:
    content = filesystem.build(some_files(), SIZE)
    assert len(content) == SIZE
    assert filesystem.read(content) == some_files()
    backwards = dict(reversed(list(some_files().items())))
    assert filesystem.build(backwards, SIZE) == content


def test_the_disk_version_is_2_0_in_the_library_s_words_and_in_both_superblocks() -> None:
    content = filesystem.build(some_files(), SIZE)
    assert filesystem.disk_version(content) == 0x0002_0000
    assert list(filesystem.superblock_versions(content)) == [0x0002_0000] * 2
    assert filesystem.disk_version(a_newer_image()) == NEWER


def test_micropython_mounts_it_finds_every_file_and_writes(tmp_path: Path) -> None:
    image = tmp_path / "vfs.bin"
    image.write_bytes(filesystem.build(some_files(), SIZE))
    assert on_a_meter(image, "new.txt") == hashes_of(some_files())
    after = image.read_bytes()
    assert filesystem.read(after) == some_files() | {"new.txt": b"written by a meter"}
    assert filesystem.disk_version(after) == NEWER  # it raises the version at its first write
    assert on_a_meter(image)["new.txt"]


@pytest.mark.parametrize("prog_size", [32, 256, 4096])
def test_firmware_of_2021_reads_it_and_would_refuse_a_newer_one(
    tmp_path: Path, prog_size: int
) -> None:
    """littlefs 2.4 is the oracle, where there is a wheel of it; else the superblock's bytes are."""
    image, newer = tmp_path / "vfs.bin", tmp_path / "newer.bin"
    image.write_bytes(filesystem.build(some_files(), SIZE))
    newer.write_bytes(a_newer_image())
    old = fetch_old_littlefs.fetch()
    if old is None:
        assert set(filesystem.superblock_versions(image.read_bytes())) == {0x0002_0000}
        return
    told = as_of_2021(old, image, prog_size)
    assert told.returncode == 0, told.stderr
    lengths = {path: str(len(content)) for path, content in some_files().items()}
    assert dict(line.split(" ") for line in told.stdout.splitlines()) == lengths
    told = as_of_2021(old, newer, prog_size)
    assert told.stderr == "refused -22\n"  # "invalid version"


def as_of_2021(old: Path, image: Path, prog_size: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", OLD_LIBRARY, image, str(prog_size)],
        env={"PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_old_library_is_fetched_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(platform, "machine", lambda: "abacus")
        assert fetch_old_littlefs.fetch(tmp_path / "none") is None
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    python = ".".join(map(str, sys.version_info[:2]))
    here = f"{python} {sys.platform} {platform.machine()}"
    monkeypatch.setitem(fetch_old_littlefs.WHEELS, here, "0" * 64)
    with pytest.raises(fetch_old_littlefs.FetchFailed, match="check the network"):
        fetch_old_littlefs.fetch(tmp_path / "old")
    assert list(tmp_path.iterdir()) == []


def test_an_image_with_another_version_is_never_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = filesystem._open
    monkeypatch.setattr(filesystem, "_open", lambda memory, size, _: asked(memory, size, NEWER))
    with pytest.raises(FilesRefused, match="wrong disk version"):
        filesystem.build(some_files(), SIZE)


def test_room_for_an_update_must_be_left() -> None:
    def with_bytes(count: int) -> dict[str, bytes]:
        return {"big.bin": b"x" * count}

    size = FREE_BYTES_MIN + 40 * BLOCK_BYTES
    most = next(
        count for count in range(40 * BLOCK_BYTES, 0, -BLOCK_BYTES) if fits(with_bytes(count), size)
    )
    assert most > 30 * BLOCK_BYTES
    assert fits(with_bytes(most - BLOCK_BYTES), size)
    with pytest.raises(FilesRefused, match=f"a meter needs {FREE_BYTES_MIN} for updates"):
        filesystem.build(with_bytes(most + BLOCK_BYTES), size)
    with pytest.raises(FilesRefused, match="leave 0 bytes"):
        filesystem.build(with_bytes(2 * size), size)


def fits(files: dict[str, bytes], size: int) -> bool:
    try:
        filesystem.build(files, size)
    except FilesRefused:
        return False
    return True


@pytest.mark.parametrize("path", ["", "/main.py", "a/../b", "n" * 61, "a/" + "ń" * 31])
def test_names_that_are_absolute_climb_or_are_too_long_are_refused(path: str) -> None:
    with pytest.raises(FilesRefused, match="name files from the root"):
        filesystem.build({path: b"x"}, SIZE)


def test_a_name_has_up_to_60_bytes() -> None:
    for length in (59, 60):
        assert filesystem.read(filesystem.build({"n" * length: b"x"}, SIZE)) == {"n" * length: b"x"}


def test_only_whole_blocks_make_a_file_system() -> None:
    with pytest.raises(FilesRefused, match="whole blocks of 4096"):
        filesystem.build({}, SIZE + 1)


@pytest.mark.parametrize(
    "content", [b"\xff" * SIZE, b"\0" * SIZE, random.Random(2).randbytes(SIZE)], ids=len
)
def test_what_is_no_file_system_is_named_so(content: bytes) -> None:
    with pytest.raises(FilesRefused, match="flash the meter again"):
        filesystem.read(content)
    with pytest.raises(FilesRefused, match="no file system"):
        filesystem.disk_version(content)


def test_a_file_system_of_another_size_than_its_partition_is_named_so() -> None:
    content = filesystem.build({}, SIZE)
    with pytest.raises(FilesRefused):
        filesystem.disk_version(content[: SIZE // 2])
    with pytest.raises(FilesRefused, match=r"not as large as its partition|no file system"):
        filesystem.disk_version(content + b"\xff" * SIZE)


def test_with_one_superblock_lost_it_is_still_read_and_with_both_it_is_not() -> None:
    content = filesystem.build(some_files(), SIZE)
    readable = 0
    for block in (0, 1):
        hurt = bytearray(content)
        hurt[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES] = b"\xff" * BLOCK_BYTES
        readable += filesystem.read(bytes(hurt)) == some_files()
    assert readable >= 1
    with pytest.raises(FilesRefused):
        filesystem.read(b"\xff" * 2 * BLOCK_BYTES + content[2 * BLOCK_BYTES :])


def test_no_log_shows_what_is_written(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        filesystem.read(filesystem.build({"config.json": b"hunter2 hunter2"}, SIZE))
    assert not caplog.records
