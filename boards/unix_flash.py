"""A file that behaves as NOR flash does: programming clears bits, erasing sets a block to 0xFF."""

BLOCK_BYTES = 4096
_BLANK = b"\xff" * 256  # sixteen make an erased block


class FileFlash:
    """MicroPython's extended block device over a file, made or mended to `blocks` blocks."""

    def __init__(self, path: str, blocks: int, log) -> None:
        self._blocks = blocks
        self._file = self._open(path, log)
        self._old = bytearray(512)

    def readblocks(self, block: int, buffer: "bytearray | memoryview", offset: int = 0) -> None:
        """Fill the buffer from the block's byte `offset` on."""
        self._file.seek(block * BLOCK_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block: int, buffer: "bytes | bytearray", offset: int = 0) -> None:
        """Program: bits can only be cleared, as on the chip."""
        old = memoryview(self._old)[: len(buffer)]
        self.readblocks(block, old, offset)
        for index in range(len(buffer)):
            old[index] &= buffer[index]
        self._file.seek(block * BLOCK_BYTES + offset)
        self._file.write(old)

    def ioctl(self, request: int, argument: int) -> int:
        """4: number of blocks, 5: bytes in a block, 6: erase block `argument`."""
        if request == 4:
            return self._blocks
        if request == 5:
            return BLOCK_BYTES
        if request == 6:
            self._file.seek(argument * BLOCK_BYTES)
            for _ in range(0, BLOCK_BYTES, len(_BLANK)):
                self._file.write(_BLANK)
        return 0

    def _open(self, path: str, log):
        """The file at its full length; what is missing reads as erased flash."""
        try:
            file = open(path, "r+b", buffering=0)  # noqa: SIM115  (for the meter's life)
        except OSError:
            file = open(path, "w+b", buffering=0)  # noqa: SIM115
        length = file.seek(0, 2)
        whole = self._blocks * BLOCK_BYTES
        if length < whole:
            log("flash", state="repaired" if length else "created", bytes_found=length)
            while length < whole:
                length += file.write(_BLANK[: whole - length])
        return file
