"""The meter's config.json in its root: read, and replaced so that a cut leaves one of the two."""

import json
import os

from firmware.config import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIG_PATH = "/config.json"


def read_config(root: str) -> "dict[str, Any]":
    """What was written there; nothing where nothing was yet. Raises ConfigError."""
    try:
        with open(root + CONFIG_PATH) as file:
            settings = json.loads(file.read())
    except OSError:
        return {}
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ConfigError(root + CONFIG_PATH + " is not a JSON object: pair the meter again")
    return settings


def write_config(root: str, settings: "dict[str, Any]") -> None:
    """Replace it. Raises OSError; then what was there still is."""
    path = root + CONFIG_PATH
    with open(path + ".new", "w") as file:
        file.write(json.dumps(settings))
    os.rename(path + ".new", path)  # littlefs: in one step
