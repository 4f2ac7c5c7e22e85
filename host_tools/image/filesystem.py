"""The file system of a meter: littlefs with disk version 2.0, which every MicroPython mounts.

MicroPython before 1.21 or so cannot mount version 2.1 and would say "appears to be corrupted" for
ever; newer ones raise the version themselves at their first write.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from littlefs import LFSConfig, LittleFS, LittleFSError, UserContext

from host_tools.image.errors import FilesRefused

BLOCK_BYTES = 4096
CACHE_BYTES = 128
DISK_VERSION = 0x0002_0000
DISK_VERSIONS_READ = (0x0002_0000, 0x0002_0001)
NAME_BYTES_MAX = 60  # of a file or a folder; littlefs takes 255, no path of ours has more
FREE_BYTES_MIN = 160 * 1024  # the other slot (120 KiB at most), settings, what wears out
SUPERBLOCK = b"littlefs"
SUPERBLOCK_AT, VERSION_AT = 8, 20  # in block 0 and in block 1
SUPERBLOCKS = 2  # blocks; without them there is no file system, and MicroPython formats


class Memory(UserContext):
    """A block device in memory. Unlike the library's it tells no log what is written."""

    def read(self, cfg: LFSConfig, block: int, off: int, size: int) -> bytearray:
        """Some bytes of a block."""
        start = block * cfg.block_size + off
        return self.buffer[start : start + size]

    def prog(self, cfg: LFSConfig, block: int, off: int, data: bytes) -> int:
        """Program some bytes of a block."""
        start = block * cfg.block_size + off
        self.buffer[start : start + len(data)] = data
        return 0

    def erase(self, cfg: LFSConfig, block: int) -> int:
        """Erase a block."""
        start = block * cfg.block_size
        self.buffer[start : start + cfg.block_size] = b"\xff" * cfg.block_size
        return 0


def build(files: Mapping[str, bytes], size: int) -> bytes:
    """A file system of this size with these files; the same for the same files.

    Raises FilesRefused when they leave less than FREE_BYTES_MIN.
    """
    if size % BLOCK_BYTES:
        raise FilesRefused(f"a file system has whole blocks of {BLOCK_BYTES} bytes, not {size}")
    _check_names(files)
    memory = Memory(buffer=bytearray(b"\xff" * size))
    system = _open(memory, size, DISK_VERSION)
    try:
        system.format()
        system.mount()
        for path in sorted(files):
            system.makedirs(f"/{PurePosixPath(path).parent}", exist_ok=True)
            with system.open(path, "wb") as file:
                file.write(files[path])
        free = size - system.used_block_count * BLOCK_BYTES
        system.unmount()
    except LittleFSError as error:
        if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
            raise FilesRefused(f"the file system could not be made ({error.code})") from None
        free = 0
    if free < FREE_BYTES_MIN:
        raise FilesRefused(
            f"the files leave {free} bytes of {size}, a meter needs {FREE_BYTES_MIN} for updates: "
            "use a larger flash"
        )
    content = bytes(memory.buffer)
    told = {disk_version(content), *superblock_versions(content)}
    if told != {DISK_VERSION}:
        raise FilesRefused("the file system has the wrong disk version: report this")
    return content


def read(content: bytes) -> dict[str, bytes]:
    """Every file in it: path from the root, without a leading slash. Raises FilesRefused."""
    try:
        system = _open(Memory(buffer=bytearray(content)), len(content), 0)
        system.mount()
        files = {}
        for path in _paths(system):
            with system.open(path, "rb") as file:
                files[path] = file.read()
        system.unmount()
    except LittleFSError as error:
        raise FilesRefused(
            f"no file system can be read there ({error.code}): flash the meter again"
        ) from None
    return files


def disk_version(content: bytes) -> int:
    """The version that counts now, as the library tells it. Raises FilesRefused."""
    try:
        system = _open(Memory(buffer=bytearray(content)), len(content), 0)
        system.mount()
        told = system.fs_stat()
        system.unmount()
    except LittleFSError as error:
        raise FilesRefused(f"no file system can be read there ({error.code})") from None
    if (told.block_size, told.block_count) != (BLOCK_BYTES, len(content) // BLOCK_BYTES):
        raise FilesRefused("the file system is not as large as its partition: flash it again")
    if told.disk_version not in DISK_VERSIONS_READ:
        raise FilesRefused(f"unknown disk version {told.disk_version:#x}: flash the meter again")
    return told.disk_version


def superblock_versions(content: bytes) -> Iterator[int]:
    """The versions in the first bytes of blocks 0 and 1, as formatting wrote them."""
    for block in range(SUPERBLOCKS):
        at = block * BLOCK_BYTES
        if content[at + SUPERBLOCK_AT : at + SUPERBLOCK_AT + len(SUPERBLOCK)] == SUPERBLOCK:
            yield struct.unpack_from("<I", content, at + VERSION_AT)[0]


def _open(memory: Memory, size: int, version: int) -> LittleFS:
    """Not mounted yet. The cache is MicroPython's (extmod/vfs_lfsx.c): files up to its size lie
    among the names, so that the disk looks as if a chip had written it."""
    return LittleFS(
        memory,
        mount=False,
        block_size=BLOCK_BYTES,
        block_count=size // BLOCK_BYTES,
        read_size=32,
        prog_size=32,
        cache_size=CACHE_BYTES,
        lookahead_size=32,
        disk_version=version,
    )


def _paths(system: LittleFS) -> Iterator[str]:
    for folder, _, names in system.walk("/"):
        for name in names:
            yield str(PurePosixPath(folder) / name).lstrip("/")


def _check_names(files: Mapping[str, bytes]) -> None:
    for path in files:
        pieces = PurePosixPath(path).parts
        too_long = any(len(piece.encode()) > NAME_BYTES_MAX for piece in pieces)
        if not pieces or path.startswith("/") or ".." in pieces or too_long:
            raise FilesRefused(
                f"{path!r}: name files from the root, each piece of at most {NAME_BYTES_MAX} bytes"
            )
