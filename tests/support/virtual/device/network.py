"""The module network of a virtual board: Wi-Fi that joins whatever it is told to join."""

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_GOT_IP = 1000, 1010

address = b""  # put here by boot.py
_state = {"on": False, "name": ""}


class WLAN:
    """The one radio; this computer's own network carries what it sends."""

    IF_STA, IF_AP = STA_IF, AP_IF

    def __init__(self, interface: int = STA_IF) -> None:
        self._is_station = interface == STA_IF

    def active(self, on: "bool | None" = None) -> bool:
        """Switch it, or ask."""
        if on is not None:
            _state["on"] = on
            _state["name"] = _state["name"] if on else ""
        return bool(_state["on"])

    def connect(self, name: str, password: str = "") -> None:
        """Join."""
        if not _state["on"]:
            raise OSError("Wifi Internal Error")
        _state["name"] = name

    def disconnect(self) -> None:
        """Leave."""
        _state["name"] = ""

    def isconnected(self) -> bool:
        """Whether it has joined."""
        return self._is_station and bool(_state["name"])

    def status(self, what: "str | None" = None) -> int:
        """How it goes, or how strong the signal is."""
        if what == "rssi":
            if not self.isconnected():
                raise OSError("Wifi Not Connected")
            return -61
        return STAT_GOT_IP if self.isconnected() else STAT_IDLE

    def config(self, what: str = "", **changes: "object") -> "object":
        """The address and the name; changes are taken and have no effect."""
        return {"mac": address, "ssid": _state["name"], "essid": _state["name"]}.get(what)

    def ifconfig(self) -> "tuple[str, str, str, str]":
        """Address, mask, gateway, name server."""
        here = "127.0.0.1" if self.isconnected() else "0.0.0.0"
        return here, "255.0.0.0", here, here

    def scan(self) -> "list[tuple[bytes, bytes, int, int, int, bool]]":
        """The networks in reach."""
        if not _state["on"]:
            raise OSError("STA must be active")
        return [(b"home", b"\x02\0\0\0\0\x01", 6, -61, 3, False)]
