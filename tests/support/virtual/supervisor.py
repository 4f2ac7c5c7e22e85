"""The loop that is a virtual board: bytes from its pty to its ROM or interpreter, and resets."""

import os
import queue
import selectors
import socket
import struct
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tests.support.virtual import boot_log, wires
from tests.support.virtual.chips import Chip
from tests.support.virtual.fake_flash_chip import FakeFlashChip, PowerCut
from tests.support.virtual.faults import Line, Unplugged, baud_of
from tests.support.virtual.rom_bootloader import RomBootloader
from tests.support.virtual.unix_process import RAW_PROMPT, Place, UnixProcess

BOOT_LOOP_S = 0.25  # once around; a chip takes 0.3 to 1 s
UNREAD_BYTES_MAX = 1 << 14  # then a program that prints has to wait, as for a UART
NOBODY_S = 0.3  # a host that takes nothing for so long is none: what was said to it is lost
HEARD_BYTES_MAX = 1 << 20  # of all that was said, the last
_IDLE_S = 5.0
_BUSY_S = 0.001
_STUCK_S = 0.01  # between two tries to hand over what a busy interpreter does not take
_CALL_S = 10.0
_SHORT_LIFE_S, _SOFT_RESET_S = 1.0, 0.3  # a program that ends at once is not begun at once again
_PROMPT = b">>> "
_BANNER = b"MicroPython "

Answer = TypeVar("Answer")


class Supervisor:
    """All of it happens in one thread; other threads go through call()."""

    def __init__(self, chip: Chip, flash: FakeFlashChip, place: Place, old: bool) -> None:
        self.chip, self.flash, self.place = chip, flash, place
        self.line = Line()
        self.heard = bytearray()  # all that the board has said
        self.mode = "off"  # or bootloader, application, boot_loop
        self.panics = False  # its firmware crashes as it starts
        self.auto_reset = True  # DTR and RTS are wired to EN and IO0
        self.boot_held = False  # a finger on the BOOT button
        self.happened: list[str] = []
        self.port = ""
        self._how = ("old",) if old else ()
        self._rom: RomBootloader | None = None
        self._process: UnixProcess | None = None
        self._hidden: bytes | None = None  # said by an interpreter on its way back to raw mode
        self._held = b""  # typed meanwhile
        self._out = bytearray()
        self._taken_s = 0.0  # when the host last took some of it
        self._wires = 0
        self._due: tuple[float, Callable[[], None]] | None = None
        self._began_s = 0.0
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._pipe = os.open(place.pipe, os.O_RDWR | os.O_NONBLOCK)
        self._master = self._slave = -1
        self._listener: socket.socket | None = None
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="virtual board", daemon=True)

    # ------------------------------------------------------------ from other threads

    def start(self) -> None:
        """Plug the board in; its power is still off."""
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._selector.register(self._pipe, selectors.EVENT_READ, self._pipe_said)
        self.plug_in()
        self._thread.start()

    def call(self, act: Callable[[], Answer]) -> Answer:
        """Have the loop do it, and wait until it is done."""
        done: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._calls.put(lambda: done.put(act()))
        os.write(self._wake_write, b"x")
        return done.get(timeout=_CALL_S)

    def stop(self) -> None:
        """End it with all that belongs to it."""
        if self._thread.is_alive():
            self.call(self._end)
            self._thread.join(_CALL_S)
        for fd in (self._wake_read, self._wake_write, self._pipe):
            os.close(fd)
        self._selector.close()

    # ------------------------------------------------------------ power and resets

    def power_on(self) -> None:
        """Supply, or the EN button."""
        self.flash.restore_power()
        self._reset(self.boot_held)

    def power_off(self) -> None:
        """No supply: silence, whatever is written half."""
        self._still()
        self.mode = "off"

    def reset(self) -> None:
        """EN is pressed and let go."""
        self._reset(self.boot_held)

    def enter_bootloader(self) -> None:
        """The same with BOOT held, until the next reset."""
        self._reset(True)

    def plug_in(self) -> None:
        """A new pty, as a USB port that comes back under another number."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._wires = 0
        self._selector.register(self._master, selectors.EVENT_READ, self._host_said)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address = wires.address_of(self.port)
        if not address.startswith("\0"):
            Path(address).unlink(missing_ok=True)
        self._listener.bind(address)
        self._listener.listen(8)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._wires_moved)

    def unplug(self) -> None:
        """The cable is pulled, and with it the supply."""
        self.power_off()
        self.happened.append("unplugged")
        if self._listener is not None:
            for file in (self._master, self._listener):
                self._selector.unregister(file)
            self._listener.close()
            os.close(self._master)
            os.close(self._slave)
        self._listener = None
        self._out.clear()

    def _reset(self, to_bootloader: bool) -> None:
        self._still()
        if to_bootloader:
            self.mode = "bootloader"
            self.happened.append("bootloader")
            self._rom = RomBootloader(self.chip, self.flash, self.place.mac)
            self._say(boot_log.downloading(self.chip))
        elif self.panics or not boot_log.starts(self.chip, self.flash):
            self.mode = "boot_loop"
            self.happened.append("boot_loop")
            self._loop_once()
        else:
            self.mode = "application"
            self.happened.append("application")
            self._say(boot_log.starting())
            self._start_process()

    def _still(self) -> None:
        """Nothing of the last run goes on."""
        if self._process is not None:
            self._end_process()
        self._rom, self._due, self._hidden, self._held = None, None, None, b""
        with suppress(BlockingIOError):
            os.read(self._pipe, 4096)  # what the last run still asked for

    def _loop_once(self) -> None:
        self._due = (time.monotonic() + BOOT_LOOP_S, self._loop_once)
        self._say(boot_log.panicking() if self.panics else boot_log.without_firmware())

    def _start_process(self, *how: str) -> None:
        self._began_s = time.monotonic()
        self._process = UnixProcess(self.place, *self._how, *how)
        if self._hidden is None:
            self._process.write(self._held)
            self._held = b""
        self._selector.register(self._process.fd, selectors.EVENT_READ, self._process_said)

    def _end_process(self) -> None:
        assert self._process is not None
        self._selector.unregister(self._process.fd)
        self._process.stop()
        self._held = self._process.left + self._held
        self._process = None

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        while not self._ends:
            for key, mask in self._selector.select(self._patience_s()):
                if mask & selectors.EVENT_READ and key.fileobj in self._selector.get_map():
                    with suppress(BlockingIOError):  # a reset just before has read it away
                        key.data()
            if self._due is not None and time.monotonic() >= self._due[0]:
                (_, act), self._due = self._due, None
                act()
            if self._process is not None:
                self._process.flush()
            self._flush()

    def _patience_s(self) -> float:
        if self._process is not None and not self._process.flush():
            return _STUCK_S
        if self._due is not None:
            return max(0.0, self._due[0] - time.monotonic())
        return _IDLE_S

    def _woken(self) -> None:
        os.read(self._wake_read, 1)
        self._calls.get()()

    def _end(self) -> None:
        self._ends = True
        self.unplug()

    def _host_said(self) -> None:
        data = os.read(self._master, 65536)
        if self._rom is not None and not self.line.deaf:  # it finds the speed by itself
            self._rom_hears(data)
        elif self.mode == "application":
            data = self.line.to_board(data, baud_of(self._slave))
            if self._process is None or self._hidden is not None:
                self._held += data
            else:
                self._process.write(data)

    def _rom_hears(self, data: bytes) -> None:
        assert self._rom is not None
        try:
            said, leaves = self._rom.feed(data), self._rom.leaves
        except PowerCut:
            self._lose_power()
            return
        self._say(said)
        if leaves:
            self.reset()

    def _process_said(self) -> None:
        assert self._process is not None
        if len(self._out) > UNREAD_BYTES_MAX:
            if time.monotonic() - self._taken_s < NOBODY_S:
                time.sleep(_BUSY_S)  # the loop comes back to it at once
                return
            self._out.clear()
        said = self._process.read()
        if said is None:
            self._soft_reset()
        elif self._hidden is None:
            self._say(said)
        else:
            self._resume_raw(said)

    def _soft_reset(self) -> None:
        """The interpreter has ended: it starts again, in the mode in which it ended."""
        assert self._process is not None
        was_raw = self._process.was_raw
        self._end_process()
        self.happened.append("soft_reset")
        if was_raw:
            self._hidden = b""
            self._start_process("raw")
        else:
            self._say(boot_log.SOFT_REBOOT)
            now_s = time.monotonic()
            pause_s = _SOFT_RESET_S if now_s - self._began_s < _SHORT_LIFE_S else 0.0
            self._due = (now_s + pause_s, self._start_process)

    def _resume_raw(self, said: bytes) -> None:
        """On a chip a soft reset from the raw REPL leads back to it, and runs no main.py."""
        assert self._hidden is not None
        assert self._process is not None
        asked = _PROMPT in self._hidden
        self._hidden += said
        if _PROMPT in self._hidden and not asked:
            self._process.write(b"\x01")
        if RAW_PROMPT in self._hidden:
            booted = self._hidden.partition(_BANNER)[0]
            held, self._hidden, self._held = self._held, None, b""
            self._say(boot_log.SOFT_REBOOT + booted + RAW_PROMPT)
            self._process.write(held)

    def _pipe_said(self) -> None:
        for what in os.read(self._pipe, 4096):
            if what == ord("B") and self._process is not None:
                self._process.listen()
            elif what == ord("R"):
                if self._process is not None:
                    self._say(self._process.read() or b"")
                self.reset()
                return
            elif what == ord("P"):
                self._lose_power()
                return

    def _lose_power(self) -> None:
        self.power_off()
        self.happened.append("power_cut")

    def _wires_moved(self) -> None:
        """DTR or RTS: two transistors pull EN or IO0 low, but not when both wires are set."""
        assert self._listener is not None
        caller, _ = self._listener.accept()
        with caller:
            caller.settimeout(wires.TIMEOUT_S)
            asked = caller.recv(5, socket.MSG_WAITALL)
            if len(asked) < 5:
                return  # its process has ended
            request, bits = struct.unpack("<cI", asked)
            before, self._wires = self._wires, wires.apply(self._wires, request, bits)
            if self._wires & ~before & wires.DTR:
                self._out.clear()  # a port that is opened hears nothing of before
            en_was_low, en_is_low = before == wires.RTS, self._wires == wires.RTS
            if self.auto_reset and self.mode != "off" and en_was_low != en_is_low:
                if en_is_low:
                    self._still()
                else:
                    self._reset(self.boot_held or self._wires == wires.DTR)
            caller.sendall(struct.pack("<I", self._wires))

    # ------------------------------------------------------------ to the host

    def _say(self, data: bytes) -> None:
        self.heard += data
        del self.heard[:-HEARD_BYTES_MAX]
        try:
            self._out += self.line.to_host(data, self._host_baud())
        except Unplugged as unplugged:
            self._out += unplugged.args[0]
            self._flush()
            self.unplug()

    def _host_baud(self) -> int:
        return self.line.baud if self._rom is not None else baud_of(self._slave)

    def _flush(self) -> None:
        if self._listener is None:
            return
        wanted = selectors.EVENT_READ
        try:
            while self._out:
                del self._out[: os.write(self._master, self._out)]
                self._taken_s = time.monotonic()
        except BlockingIOError:
            wanted |= selectors.EVENT_WRITE
        if self._selector.get_key(self._master).events != wanted:
            self._selector.modify(self._master, wanted, self._host_said)
