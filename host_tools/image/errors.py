"""Everything that can stop an image; `reason` is its name, the text ends with what to do next."""


class ImageError(Exception):
    """Printed as one line: `reason: text`. Never holds a secret."""

    reason = "image_failed"


class TableRefused(ImageError):
    """A partition table is damaged, overlaps something, or leaves no room."""

    reason = "bad_partition_table"


class FirmwareRefused(ImageError):
    """A published firmware is damaged, or is not what it should be."""

    reason = "bad_firmware"


class WrongFirmware(FirmwareRefused):
    """A published firmware is for another chip."""

    reason = "wrong_firmware"


class FirmwareMissing(ImageError):
    """A published firmware is not known, not pinned, or not to be had."""

    reason = "firmware_missing"


class NvsRefused(ImageError):
    """Something cannot be kept in NVS, or what lies there cannot be read."""

    reason = "bad_nvs"


class FilesRefused(ImageError):
    """A file system cannot be built or read."""

    reason = "bad_file_system"


class SettingsRefused(ImageError):
    """The settings hold what they must not, or lack something."""

    reason = "bad_settings"


class PartsOverlap(ImageError):
    """Two parts of an image share a byte of flash."""

    reason = "parts_overlap"


class ImageDamaged(ImageError):
    """What was put into an image is not found there again: a bug, or a broken library."""

    reason = "image_damaged"


class HoldsSecrets(ImageError):
    """An image that strangers would get holds a key or a password."""

    reason = "holds_secrets"
