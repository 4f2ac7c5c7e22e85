"""umqtt.simple on either Python: CPython lacks the u-names of the modules it imports."""

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
