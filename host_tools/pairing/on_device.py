"""What pairing does on a device: some lines of MicroPython, and what they wrote read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from host_tools.pairing.errors import NotReady, ReadBackDiffers
from host_tools.pairing.identity import Identity, Secret

CONFIG_PATH, CA_PATH, MARKER_PATH = "/config.json", "/ca.der", "/pairing.json"
NVS_NAMESPACE = "meter"
PARTITION = "meter"
ERASED = ("meter", "nvs", "vfs")  # partitions of a decommissioned board, in this order
KEYSTORE_BLOCKS = 4  # of the partition: the ring whose loss would matter (firmware/storage.py)
RUN_WAIT_S, ERASE_WAIT_S = 10.0, 180.0
CONFIG_BYTES_MAX = 4096
# Keys of config.json that the NVS has instead.
OF_IDENTITY = ("meter_id", "meter_key", "key_epoch", "password")
_WIFI = ("wifi_name", "wifi_password")


class DeviceLike(Protocol):
    """What pairing asks of host_tools.device.Device, which lets a meter run again at its end."""

    def __enter__(self) -> DeviceLike: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None, /,
    ) -> None: ...  # fmt: skip
    def run(self, code: str, timeout_s: float = ...) -> str: ...
    def read_file(self, path: str) -> bytes: ...
    def write_file(self, path: str, data: bytes) -> object: ...
    def hash_file(self, path: str) -> bytes | None: ...
    def remove(self, path: str) -> None: ...
    def restart(self) -> None: ...
    def console(self, seconds: float) -> Iterator[str]: ...


class Facts(NamedTuple):
    """What a device says of itself. No secret is among it."""

    board: str  # the chip's unique id in hex; empty where it has none
    machine: str
    release: str  # of MicroPython
    meter_id: str  # in hex; empty when it was never paired
    key_epoch: int
    marker: dict[str, Any]  # who is pairing it, since when
    emptied: bool  # the partition has no used frame counters
    board_name: str  # of boards/, as its application has it; empty when there is none
    application: str  # its version


_FACTS = """
import json,sys
f={'board':'','meter_id':'','key_epoch':0,'marker':{},'emptied':False}
def t(*p):
 for n in p:
  try:
   with open(n) as x:
    return x.read().strip()
  except OSError:
   pass
 return ''
f['board_name']=t('/board.txt')
f['application']=t('/a/WHOLE','/b/WHOLE')
f['machine']=getattr(sys.implementation,'_machine','')
f['release']='.'.join(str(x) for x in sys.implementation.version[:3])
try:
 import machine
 f['board']=''.join('%02x'%x for x in machine.unique_id())
except (ImportError,AttributeError):
 pass
try:
 import esp32
 n=esp32.NVS(NAMESPACE)
 b=bytearray(8)
 n.get_blob('id',b)
 f['meter_id']=''.join('%02x'%x for x in b)
 f['key_epoch']=n.get_i32('epoch')
except (ImportError,OSError):
 pass
try:
 f['marker']=json.loads(t(MARKER))
except ValueError:
 pass
try:
 import esp32
 p=esp32.Partition
 for q in p.find(p.TYPE_DATA,label=PARTITION):
  b=bytearray(16)
  f['emptied']=True
  for i in range(KEYSTORE_BLOCKS):
   q.readblocks(i,b,0)
   if b!=b'\\xff'*16:
    f['emptied']=False
except (ImportError,AttributeError,OSError):
 pass
print(json.dumps(f))
"""

# The epoch goes first and comes last: a meter whose identity is half-written has none.
_WRITE = """
import esp32
n=esp32.NVS(NAMESPACE)
try:
 n.erase_key('epoch')
 n.commit()
except OSError:
 pass
n.set_blob('id',ID)
n.set_blob('key',KEY)
n.set_blob('password',PASSWORD)
n.set_i32('epoch',EPOCH)
n.commit()
"""

_READ_BACK = """
import esp32,hashlib,json
n=esp32.NVS(NAMESPACE)
def h(k):
 b=bytearray(256)
 s=n.get_blob(k,b)
 return ''.join('%02x'%x for x in hashlib.sha256(bytes(b[:s])).digest())
print(json.dumps({'id':h('id'),'key':h('key'),'password':h('password'),'epoch':n.get_i32('epoch')}))
"""

_ERASE = """
import esp32,json
p=esp32.Partition
f={}
for l in LABELS:
 for q in p.find(p.TYPE_DATA,label=l):
  n=q.ioctl(4,0)
  for i in range(n):
   q.ioctl(6,i)
  f[l]=n
b=bytearray(4096)
w=b'\\xff'*4096
left={}
for l in f:
 for q in p.find(p.TYPE_DATA,label=l):
  left[l]=0
  for i in range(f[l]):
   q.readblocks(i,b)
   if b!=w:
    left[l]+=1
print(json.dumps({'blocks':f,'left':left}))
"""


def facts_of(device: DeviceLike) -> Facts:
    """What the device says of itself. Raises DeviceError, NotReady."""
    said = _ask(
        device, _FACTS, NAMESPACE=NVS_NAMESPACE, MARKER=MARKER_PATH, PARTITION=PARTITION,
        KEYSTORE_BLOCKS=KEYSTORE_BLOCKS,
    )  # fmt: skip
    if not isinstance(said.get("marker"), dict):
        said["marker"] = {}
    return Facts(**said)


def write_identity(device: DeviceLike, identity: Identity) -> None:
    """The identity into the NVS, read back by hashes. Raises DeviceError, ReadBackDiffers."""
    device.run(
        _filled(
            _WRITE, NAMESPACE=NVS_NAMESPACE, ID=identity.meter_id,
            KEY=identity.meter_key.reveal(), PASSWORD=identity.password.reveal(),
            EPOCH=identity.key_epoch,
        ),
        RUN_WAIT_S,
    )  # fmt: skip
    held = _ask(device, _READ_BACK, NAMESPACE=NVS_NAMESPACE)
    wanted = {
        "id": Secret(identity.meter_id).digest(),
        "key": identity.meter_key.digest(),
        "password": identity.password.digest(),
        "epoch": identity.key_epoch,
    }
    wrong = [name for name, value in wanted.items() if held.get(name) != value]
    if wrong:
        raise ReadBackDiffers(
            f"the NVS does not hold the {', '.join(wrong)} that was written; run it again, and if"
            " it differs again, take another board"
        )


def write_settings(
    device: DeviceLike, told: dict[str, Any], wifi_password: Secret | None, ca: bytes | None
) -> None:
    """config.json and ca.der, each replaced in one step. What the board itself keeps there stays.

    Raises DeviceError.
    """
    kept = _config_of(device)
    config = {
        name: value
        for name, value in kept.items()
        if name not in OF_IDENTITY and (name not in _WIFI or "wifi_name" not in told)
    }
    config.pop("server_name", None)
    config |= told
    if wifi_password is not None:
        config["wifi_password"] = wifi_password.reveal().decode("utf-8", "replace")
    if ca is not None:
        device.write_file(CA_PATH, ca)
    device.write_file(CONFIG_PATH, json.dumps(config).encode())


def mark(device: DeviceLike, technician: str, begun_s: int) -> None:
    """Leave word on the device that somebody is at it."""
    said = {"technician": technician, "begun_s": begun_s}
    device.write_file(MARKER_PATH, json.dumps(said).encode())


def unmark(device: DeviceLike) -> None:
    """Take that away."""
    device.remove(MARKER_PATH)


def erase(device: DeviceLike) -> dict[str, int]:
    """Erase NVS, the meter's partition and the file system; blocks of each, all read back empty.

    The file system goes, too, because a removed file's bytes stay in its blocks: the Wi-Fi password
    would. Raises DeviceError, ReadBackDiffers, NotReady.
    """
    said = _ask(device, _ERASE, ERASE_WAIT_S, LABELS=ERASED)
    blocks, left = said["blocks"], said["left"]
    if not blocks.get("nvs"):
        raise NotReady("the device shows no NVS partition to erase; is it an ESP32 board?")
    wrong = [f"{count} blocks of {name}" for name, count in left.items() if count]
    if wrong or left.keys() != blocks.keys():
        raise ReadBackDiffers(
            f"not erased: {', '.join(wrong) or 'a partition vanished'}; run it again, and if it"
            " reads back again, destroy the board"
        )
    return {str(name): int(count) for name, count in blocks.items()}


def _config_of(device: DeviceLike) -> dict[str, Any]:
    """The config.json that is there; empty when there is none, or none that can be read."""
    if device.hash_file(CONFIG_PATH) is None:
        return {}
    try:
        config = json.loads(device.read_file(CONFIG_PATH)[:CONFIG_BYTES_MAX])
    except ValueError:  # half-written by another tool
        return {}
    return config if isinstance(config, dict) else {}


def _ask(
    device: DeviceLike, code: str, timeout_s: float = RUN_WAIT_S, **values: object
) -> dict[str, Any]:
    """Run code that prints one JSON object last."""
    lines = device.run(_filled(code, **values), timeout_s).strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = None
    if not isinstance(said, dict):
        raise NotReady("the device answers nonsense; press its reset button and run it again")
    return said


def _filled(code: str, **values: object) -> str:
    """Code behind the assignment of its values: nothing is replaced inside it."""
    return "".join(f"{name}={value!r}\n" for name, value in values.items()) + code
