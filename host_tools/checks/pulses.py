"""The pulse test: press ten times, and the board's own counter has counted ten."""

from __future__ import annotations

from host_tools.checks.case import Case
from host_tools.checks.checked import Check, Checked

QUIET_S = 1.5  # without a pulse, once enough were counted: bounces come before
LOOK_S = 0.2
PCNT_WIDTH = 32_000  # boards/parts/pulse_input.py
_UNIT_BYTES = 12
# Base, offset of the counts, clock gate and its bit (boards/parts/pulse_input.py, _REGISTERS).
PCNT = {
    "esp32": (0x3FF57000, 0x60, 0x3FF000C0, 1 << 10),
    "esp32s3": (0x60017000, 0x30, 0x600C0018, 1 << 10),
    "esp32c6": (0x60012000, 0x30, 0x60096094, 1),
}
PULSES = Check(
    "pulses",
    "as many pulses as you make arrive at the board's counter, on one input",
    "exactly as many as you said, on one input and none on the other",
    {
        "none": "check S0+ at the input's pin and S0- at ground; swap them if they are right",
        "held_low": "the input is held at ground: look for a short, or a contact that stays closed",
        "missed": "close the contact longer (30 ms or more), and look for a loose wire",
        "bounces": "a contact bounces: use an S0 or opto output, or add 4.7 kOhm and 100 nF",
        "both_inputs": "look for a bridge between the two inputs; give each its own wire to ground",
        "no_pins": "nothing: this board has no inputs",
    },
)

# PCNT units that the meter set up go on counting, and are only read. Without them an interrupt for
# each edge, as boards/parts/irq_input.py does, until the next soft reset.
_BEGIN = """
import json,machine
_k='irq'
if BASE:
 try:
  m=machine.mem32
  w=[m[BASE+UNIT*i+8]==((-1-i)&0xFFFF)<<16|WIDTH for i in range(len(PINS))]
  if m[GATE]&GATE_ON and all(w):
   _k='pcnt'
 except (AttributeError,OSError):
  pass
if _k=='pcnt':
 def _c():
  return [machine.mem32[BASE+COUNTS+4*i]&0xFFFF for i in range(len(PINS))]
else:
 _n=[0]*len(PINS)
 def _h(i):
  def seen(_):
   _n[i]+=1
  return seen
 _p=[machine.Pin(g,machine.Pin.IN,machine.Pin.PULL_UP) for g in PINS]
 for _i in range(len(PINS)):
  _p[_i].irq(_h(_i),machine.Pin.IRQ_FALLING)
 def _c():
  return _n
print(json.dumps([_k,_c(),[machine.Pin(g).value() for g in PINS]]))
"""
_COUNTS = "import json\nprint(json.dumps(_c()))"
_LEVELS = "import json,machine\nprint(json.dumps([machine.Pin(g).value() for g in PINS]))"
_END = """
if _k=='irq':
 for _i in _p:
  _i.irq(None)
"""


def pulses(case: Case) -> Checked:
    """Count until there are enough and it is quiet, or the time is over."""
    profile = case.facts.profile
    names = [name for name in ("import", "export") if profile and profile.pins[name] is not None]
    if profile is None or not names:
        return PULSES.unknown("no_pins", f"board {case.facts.board or 'unknown'} has no pins")
    pins = [profile.pins[name] for name in names]
    base, counts, gate, gate_on = PCNT.get(profile.chip, (0, 0, 0, 0))
    each = (0,) * len(pins)
    by, first, _ = case.ask(
        _BEGIN, ("", each, each), PINS=pins, BASE=base, COUNTS=counts, GATE=gate,
        GATE_ON=gate_on, UNIT=_UNIT_BYTES, WIDTH=PCNT_WIDTH,
    )  # fmt: skip
    try:
        counted = dict(zip(names, _count(case, first, names), strict=True))
        levels = case.ask(_LEVELS, each, PINS=pins)
    finally:
        if by == "irq":
            case.device.run(_END)
    where = ", ".join(f"{name} (GPIO {pin})" for name, pin in zip(names, pins, strict=True))
    return _judged(case.asked.pulses, counted, levels, f"by {by} on {where}")


def _count(case: Case, first: list[int], names: list[str]) -> list[int]:
    """How many came on each input."""
    seen, changed_s = [0] * len(first), case.clock()
    end_s = changed_s + case.asked.pulses_s
    _tell(case, seen, names, case.asked.pulses_s)
    while (now_s := case.clock()) < end_s:
        found = [
            (count - begun) % PCNT_WIDTH
            for count, begun in zip(case.ask(_COUNTS, (0,) * len(first)), first, strict=True)
        ]
        if found != seen:
            seen, changed_s = found, now_s
            _tell(case, seen, names, end_s - now_s)
        if max(seen) >= case.asked.pulses and now_s - changed_s >= QUIET_S:
            break
        case.sleep(LOOK_S)
    return seen


def _tell(case: Case, seen: list[int], names: list[str], left_s: float) -> None:
    counted = dict(zip(names, seen, strict=True))
    case.tell(
        {
            "event": "pulses",
            "counted": counted,
            "wanted": case.asked.pulses,
            "left_s": round(left_s, 1),
        }
    )


def _judged(wanted: int, counted: dict[str, int], levels: list[int], how: str) -> Checked:
    most = max(counted, key=lambda name: counted[name])
    told = f"{' and '.join(f'{n} {name}' for name, n in counted.items())} of {wanted}, {how}"
    values = {"counted": counted, "wanted": wanted}
    if not counted[most]:
        return PULSES.bad("none" if all(levels) else "held_low", told, **values)
    if any(n for name, n in counted.items() if name != most):
        return PULSES.bad("both_inputs", told, **values)
    if counted[most] != wanted:
        cause = "missed" if counted[most] < wanted else "bounces"
        return PULSES.bad(cause, told, **values)
    return PULSES.good(told, **values)
