"""A folder for ESP Web Tools: manifest.json and the parts it names, from the images we flash.

What lies there is given to strangers: images that hold an identity or a Wi-Fi password are refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host_tools.image import build, filesystem
from host_tools.image.build import IDENTITY_KEYS, Image
from host_tools.image.errors import HoldsSecrets, ImageError
from host_tools.levels import L0

MANIFEST = "manifest.json"
FAMILIES = {"esp32": "ESP32", "esp32s3": "ESP32-S3", "esp32c3": "ESP32-C3", "esp32c6": "ESP32-C6"}
IMPROV_WAIT_S = 15  # for a meter to mount its files and listen, after its first start
SECRET_SETTINGS = (*IDENTITY_KEYS, "wifi_password")


def manifest(images: Sequence[Image], name: str, version: str) -> dict[str, Any]:
    """The manifest for these images, one for each chip. Raises ImageError, HoldsSecrets."""
    chips = [image.chip for image in images]
    if len(set(chips)) != len(chips):
        raise ImageError(
            "two images are for the same chip, and a browser sees only the chip: make a folder "
            "for each board"
        )
    for image in images:
        refuse_secrets(image)
    return {
        "name": name,
        "version": version,
        "new_install_prompt_erase": True,  # else it erases unasked, and registers with it
        "new_install_improv_wait_time": IMPROV_WAIT_S,
        "builds": [
            {
                "chipFamily": FAMILIES[image.chip],
                "improv": not image.ethernet,
                "parts": [
                    {"path": file_name(image, part), "offset": part.offset} for part in image.parts
                ],
            }
            for image in images
        ],
    }


def write(images: Sequence[Image], name: str, version: str, folder: Path) -> Path:
    """Write the manifest and its parts; the manifest last. Raises as `manifest`."""
    told = manifest(images, name, version)
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        for part in image.parts:
            (folder / file_name(image, part)).write_bytes(part.content)
    path = folder / MANIFEST
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path


def file_name(image: Image, part: build.Part) -> str:
    """A part's file, beside the manifest."""
    return f"{image.board}-{part.name}.bin"


def refuse_secrets(image: Image) -> None:
    """Raises HoldsSecrets for an identity or a Wi-Fi password in an image, and for locked ones."""
    if image.level != L0:
        raise HoldsSecrets(f"an image of level {image.level} is for one meter: publish one of {L0}")
    if image.part(build.NVS) is not None:
        raise HoldsSecrets("the image holds a meter's identity: build one without")
    part = image.part(build.VFS)
    files = filesystem.read(part.content) if part else {}
    settings = json.loads(files.get("config.json", b"{}"))
    if told := [key for key in SECRET_SETTINGS if key in settings]:
        raise HoldsSecrets(f"the settings hold {', '.join(told)}: build an image without")
