"""What all boards of ours freeze into MicroPython; each board's manifest.py includes it.

options.board is the board's file, options.way "wifi" or "ethernet".
tests/host_tools/test_board_definitions.py holds it against what the board imports.
"""

ROOT = "$(BOARD_DIR)/../.."
OPTIMISED = 3  # no asserts, no line numbers, as in a bundle

WIRE = (
    "__init__", "aead", "cbor", "cbor_device", "ccm", "errors", "frame", "keys", "messages", "obis",
    "quality", "topics", "varint",
)  # fmt: skip
FIRMWARE = (
    "__init__", "app", "backoff", "board", "clock", "commands", "config", "controls", "dating",
    "demand", "events", "journal", "keystore", "load_profile", "local_time", "metering", "mqtt",
    "mqtt_door", "power_quality", "pulse_power", "registers", "rekey", "saved_state", "settings",
    "storage", "tariff", "update", "uplink", "waiting", "watch",
)  # fmt: skip
PARTS = (
    "__init__", "config_file", "esp32_board", "identity", "irq_input", "mqtt_link", "partition",
    "pulse_input", "real_clock", "retained", "slots", "supply", "watchdog",
)  # fmt: skip
WAYS = {"wifi": ("improv_serial", "wifi", "wifi_way"), "ethernet": ("ethernet",)}

include("$(PORT_DIR)/boards/manifest.py")

wifi_only = ("improv",) if options.way == "wifi" else ()
parts = ["parts/" + name for name in PARTS + WAYS[options.way]]
for room, names in (
    ("wire", WIRE),
    ("firmware", FIRMWARE + wifi_only),
    ("boards", ["__init__", options.board, *parts]),
):
    package(room, files=[name + ".py" for name in names], base_path=ROOT, opt=OPTIMISED)
