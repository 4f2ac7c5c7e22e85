"""What the unix port runs to be the board: mounts the flash file, then boot.py and main.py of it.

Arguments: flash file, pipe to the supervisor, MAC address in hex, folder of the world, the root of
this repository, words for how to start (`raw`: not main.py; `old`: firmware before littlefs 2.1).
"""

import os
import sys
import time

import micropython
import vfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CORRUPTED = """\
The filesystem appears to be corrupted. If you had important data there, you
may want to make a flash snapshot to try to recover it. Otherwise, perform
factory reprogramming of MicroPython firmware (completely erase flash, followed
by firmware programming).
"""  # ports/esp32/modules/inisetup.py
_BOOT_PY = "# This file is executed on every boot (including wake-boot from deepsleep)\n"
_EVERY_S = 3
_CTRL_C = 3
_NEW_DISK = 0x00020001


def make_modules(flash_path: str, pipe: str, address: bytes, root: str) -> "Any":
    """esp32, machine, network and what a stock build freezes; gives the partition `vfs`."""
    sys.path[:] = [root, root + "/tests/support/virtual/device", root + "/.lib", ".frozen"]
    import esp32
    import machine
    import network
    import umqtt.simple

    from tests.support.virtual.device.flash_file import FlashFile

    assert umqtt
    machine.supervisor = open(pipe, "wb", buffering=0)  # noqa: SIM115  (for good)
    machine.address = network.address = address
    esp32.chip = FlashFile(flash_path, lambda: machine.supervisor.write(b"P"))
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")
    for name in list(sys.modules):
        if name.startswith("tests"):
            del sys.modules[name]
    return found[0] if found else None


def mount(partition: "Any", world: str, is_old: bool) -> None:
    """The file system at the root, made where flash is blank; the world beside it."""
    beside = vfs.VfsPosix(world)
    vfs.umount("/")
    try:
        if is_old and _disk_version(partition) >= _NEW_DISK:
            raise OSError(22)
        vfs.mount(vfs.VfsLfs2(partition), "/")
    except OSError:
        _set_up(partition)
    vfs.mount(beside, "/world")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]


def _set_up(partition: "Any") -> None:
    sector = bytearray(4096)
    partition.readblocks(0, sector)
    if sector != b"\xff" * 4096:
        fs_corrupted()
    print("Performing initial setup")
    vfs.VfsLfs2.mkfs(partition)
    vfs.mount(vfs.VfsLfs2(partition), "/")
    with open("/boot.py", "w") as file:
        file.write(_BOOT_PY)


def fs_corrupted() -> None:
    """MicroPython's loop, by its name: only Ctrl-C ends it."""
    listen()
    while True:
        print(_CORRUPTED)
        time.sleep(_EVERY_S)


def listen() -> None:
    """From now on Ctrl-C interrupts. The supervisor answers with a byte, or with a Ctrl-C."""
    import machine

    micropython.kbd_intr(_CTRL_C)
    machine.supervisor.write(b"B")
    sys.stdin.buffer.read(1)


def _disk_version(partition: "Any") -> int:
    """Of littlefs, from its superblock; 0 where there is none."""
    start = bytearray(24)
    partition.readblocks(0, start, 0)
    return int.from_bytes(start[20:24], "little") if start[8:16] == b"littlefs" else 0


def run(name: str) -> None:
    """A file of the root, if it is there, in the namespace of the REPL."""
    try:
        os.stat(name)
    except OSError:
        return
    execfile(name)  # type: ignore[name-defined]  # noqa: F821  (MicroPython's)


def main() -> None:
    """Boot; what is left after is the REPL, but a SystemExit is a soft reset."""
    micropython.kbd_intr(-1)
    os.putenv("MICROPYINSPECT", "1")
    flash_path, pipe, address, world, root = sys.argv[1:6]
    partition = make_modules(flash_path, pipe, bytes.fromhex(address), root)
    if partition is not None:
        mount(partition, world, "old" in sys.argv)
    listen()
    try:
        run("boot.py")
        if "raw" not in sys.argv:
            run("main.py")
    except SystemExit:
        os.unsetenv("MICROPYINSPECT")
        raise


if __name__ == "__main__":
    main()
