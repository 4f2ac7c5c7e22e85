"""umqtt.simple, and a board's sockets, importable on every Python that runs the tests."""

# CPython lacks the u-names of the modules that umqtt imports; the MicroPython with 32-bit words has
# no sockets at all, and there an empty stand-in is enough for what a test puts in its place.

import sys

if sys.implementation.name == "cpython":
    import binascii
    import pathlib
    import socket
    import struct

    sys.modules.setdefault("usocket", socket)
    sys.modules.setdefault("ustruct", struct)
    sys.modules.setdefault("ubinascii", binascii)
    _LIB = str(pathlib.Path(__file__).resolve().parents[2] / ".lib")
    if _LIB not in sys.path:
        sys.path.append(_LIB)
else:
    for _name in ("socket", "select"):
        try:
            __import__(_name)
        except ImportError:
            sys.modules[_name] = type(_name, (), {})  # type: ignore[assignment]
