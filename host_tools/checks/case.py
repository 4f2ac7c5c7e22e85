"""The board that is looked at, and what it says of itself over its REPL; no secret comes over."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from host_tools import board_profiles
from host_tools.board_profiles import BoardProfile, UnknownBoard
from host_tools.device import DeviceFailed
from host_tools.levels import LEVELS
from host_tools.line.on_board import filled
from host_tools.pairing.errors import BadInput

RUN_WAIT_S = 10.0
PULSES_MAX, PULSES_S_MAX = 1000, 300.0  # the watchdog was put off by ten minutes
PULSES_S = 60.0
CONFIG_BYTES_MAX = 4096
# Keys of config.json that may be seen; of all others only the names come over.
CONFIG_KEYS = (
    "meter_id", "key_epoch", "gateway_host", "gateway_port", "tls", "server_name", "imp_per_kwh",
    "capture_period_s", "paired_s", "wifi_name",
)  # fmt: skip
NO_CONFIG, CONFIG_DAMAGED, CONFIG_READ = "none", "damaged", "read"
SECRET_NAMES = ("meter_key", "password")
NVS_NAMES = ("id", "key", "password", "epoch")


class DeviceLike(Protocol):
    """What the checks ask of host_tools.device.Device."""

    def __enter__(self) -> DeviceLike: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None, /,
    ) -> None: ...  # fmt: skip
    @property
    def interrupted(self) -> bool: ...
    def run(self, code: str, timeout_s: float = ...) -> str: ...
    def read_file(self, path: str) -> bytes: ...
    def restart(self) -> None: ...


class GatewayLike(Protocol):
    """What the checks ask of host_tools.pairing.gateway_client.GatewayClient."""

    def show(self, hex_id: str) -> dict[str, Any] | None: ...
    def set_security_level(self, hex_id: str, level: str) -> dict[str, Any]: ...


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection. Raises OSError."""
    return socket.create_connection((host, port), timeout_s)


Tell = Callable[[dict[str, Any]], None]


def nobody(_: dict[str, Any]) -> None:
    """Nobody looks."""


@dataclass(frozen=True)
class Asked:
    """What is to be looked at beside what needs nobody's hand."""

    pulses: int = 0  # how many the user is going to make; 0: no pulse test
    pulses_s: float = PULSES_S  # how long they may take
    current: bool = False  # current transformers, with a resistive load switched on
    level: str = ""  # the security level that the meter should have at least
    record_level: bool = False  # record the one that was measured, at the gateway

    def __post_init__(self) -> None:
        """Raises BadInput."""
        if not 0 <= self.pulses <= PULSES_MAX:
            raise BadInput(f"a pulse test counts 1 to {PULSES_MAX} pulses; give a lower number")
        if not 0 < self.pulses_s <= PULSES_S_MAX:
            raise BadInput(f"a pulse test lasts up to {PULSES_S_MAX:g} s; give less time")
        if self.level and self.level not in LEVELS:
            raise BadInput(f"a security level is one of {', '.join(LEVELS)}; give one of them")


class Facts(NamedTuple):
    """What a board says of itself."""

    board: str  # esp32_devkit; empty where no board.txt is
    release: tuple[int, ...]  # of MicroPython
    machine: str
    epoch_year: int  # 1970 or 2000
    heap_free: int
    idf_free: int  # the largest free block of ESP-IDF's heap; -1 where there is none
    slots: Mapping[str, str]  # versions of the whole applications, by slot
    records: tuple[bytes, ...]  # the slot loader's
    config_state: str
    config: Mapping[str, Any]  # what may be seen of it
    config_others: tuple[str, ...]  # names of its other keys
    nvs: tuple[str, ...]  # names of what is there
    nvs_id: str  # in hex
    nvs_epoch: int  # -1: none
    has_nvs: bool

    @property
    def meter_id(self) -> str:
        """In hex; empty when it was never paired."""
        return self.nvs_id or str(self.config.get("meter_id", ""))

    @property
    def key_epoch(self) -> int | None:
        """What the meter starts with; a rekey over the air may have brought a higher one since."""
        if self.nvs_epoch >= 0:
            return self.nvs_epoch
        epoch = self.config.get("key_epoch")
        return epoch if type(epoch) is int else None

    @property
    def profile(self) -> BoardProfile | None:
        """The board's data; None for a board that is none of ours."""
        try:
            return board_profiles.profile(self.board)
        except UnknownBoard:
            return None


@dataclass(frozen=True)
class Case:
    """One board under examination."""

    device: DeviceLike
    facts: Facts
    asked: Asked
    gateway: GatewayLike | None = None
    tell: Tell = nobody
    dial: Callable[[str, int, float], socket.socket] = dial
    now_s: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    ran: bool = False  # the meter's program ran until now

    def ask(self, code: str, like: object, timeout_s: float = RUN_WAIT_S, **values: object) -> Any:
        """The JSON that code prints last; see `ask`. Raises DeviceError."""
        return ask(self.device, code, like, timeout_s, **values)


_FACTS = """
import gc,json,sys,time
gc.collect()
f={'heap_free':gc.mem_free(),'idf_free':-1,'nvs':[],'nvs_id':'','nvs_epoch':-1,'has_nvs':False}
f['release']=list(sys.implementation.version[:3])
f['machine']=getattr(sys.implementation,'_machine','')
f['epoch_year']=time.gmtime(0)[0]
try:
 import esp32
 f['idf_free']=max([r[2] for r in esp32.idf_heap_info(esp32.HEAP_DATA)])
except (ImportError,AttributeError,ValueError):
 pass
def r(p):
 try:
  with open(p,'rb') as x:
   return x.read(BYTES_MAX)
 except OSError:
  return None
def t(p):
 return ''.join([chr(b) for b in r(p) or b'' if 32<=b<127])
f['board']=t('/board.txt')
f['slots']={s:t('/'+s+'/WHOLE') for s in 'ab' if r('/'+s+'/WHOLE')}
f['records']=[''.join(['%02x'%b for b in r('/slot.'+s) or b'']) for s in '01']
c=r('/config.json')
f['config_state']='none' if c is None else 'damaged'
f['config']={}
f['config_others']=[]
if c:
 try:
  c=json.loads(c)
  f['config']={k:c[k] for k in KEYS if k in c}
  f['config_others']=[k for k in c if k not in KEYS]
  f['config_state']='read'
 except (ValueError,TypeError):
  pass
try:
 import esp32
 n=esp32.NVS('meter')
 f['has_nvs']=True
 b=bytearray(256)
 for k in NVS_NAMES:
  try:
   if k=='epoch':
    f['nvs_epoch']=n.get_i32(k)
   else:
    n.get_blob(k,b)
   if k=='id':
    f['nvs_id']=''.join(['%02x'%x for x in b[:8]])
   f['nvs'].append(k)
  except OSError:
   pass
except (ImportError,OSError):
 pass
print(json.dumps(f))
"""


_FACTS_LIKE = {
    "heap_free": 0, "idf_free": 0, "nvs": [""], "nvs_id": "", "nvs_epoch": 0, "has_nvs": False,
    "release": [0], "machine": "", "epoch_year": 0, "board": "", "slots": {}, "records": [""],
    "config_state": "", "config": {}, "config_others": [""],
}  # fmt: skip


def facts_of(device: DeviceLike) -> Facts:
    """Ask the board. Raises DeviceError."""
    said = ask(
        device, _FACTS, _FACTS_LIKE, BYTES_MAX=CONFIG_BYTES_MAX, KEYS=CONFIG_KEYS,
        NVS_NAMES=NVS_NAMES,
    )  # fmt: skip
    try:
        records = tuple(bytes.fromhex(record) for record in said.pop("records"))
    except ValueError:
        raise nonsense() from None
    return Facts(
        board=said.pop("board").strip().removeprefix("boards."),
        release=tuple(said.pop("release")),
        records=records,
        config_others=tuple(said.pop("config_others")),
        nvs=tuple(said.pop("nvs")),
        **said,
    )


def ask(
    device: DeviceLike,
    code: str,
    like: object,
    timeout_s: float = RUN_WAIT_S,
    **values: object,
) -> Any:
    """The JSON that code prints last, if it is `like` this: numbers, texts, dictionaries with all
    of these keys, a tuple for a list of just these, a list for one of any length of its first.

    Raises DeviceError.
    """
    lines = device.run(filled(code, **values), timeout_s).strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise nonsense() from None
    if not alike(said, like):
        raise nonsense()
    return said


def alike(said: object, like: object) -> bool:
    """Whether an answer has the shape of an example."""
    if isinstance(like, tuple):
        if not isinstance(said, list) or len(said) != len(like):
            return False
        return all(map(alike, said, like))
    if isinstance(like, list):
        return isinstance(said, list) and all(alike(each, like[0]) for each in said)
    if isinstance(like, dict) and like:
        if not isinstance(said, dict) or said.keys() != like.keys():
            return False
        return all(alike(said[key], like[key]) for key in like)
    return type(said) is type(like)


def nonsense() -> DeviceFailed:
    """The error for an answer that no code of ours gives."""
    return DeviceFailed(
        "the board answers nonsense; press reset (EN), run it again", "Nonsense", ""
    )
