"""What a frame in the journal says, in the words of those who read it: JSON fields and SenML.

Pure: the publisher, `gateway export` and `gateway trace` share it. Energy stays in integers. What
is missing is null, never 0, so that nobody books a register twice or a household's night as zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from gateway.errors import DamagedStore
from gateway.segments import Row
from wire import messages, obis, quality
from wire.errors import WireError
from wire.keys import UP
from wire.messages import Event, Live, Profile, Registers

SENML_INTERVALS_MAX = 24  # of one pack; a pack of 16 channels stays below 64 KiB
JOULE_PER_WH = 3600

Fields = dict[str, Any]

# Units of the registers by short OBIS code; all others are energy in Wh.
_UNITS = {obis.IMPORT_VARH: "varh", obis.EXPORT_VARH: "varh", obis.DEMAND_W: "w"}
_REGISTERS = ("registers_wh", "registers_varh", "registers_w")
# Names of primary SenML units and what a unit of ours is in them (RFC 8428 section 12.1, RFC 8798
# section 2). "Wh" is a secondary unit: a pack with it needs version 26 (RFC 9100 section 3), which
# many readers refuse. Joules are exact: 2^40 Wh are below 2^53 J.
_SENML = {"wh": ("J", JOULE_PER_WH), "varh": ("vars", JOULE_PER_WH), "w": ("W", 1)}

# Events and their values in order, as wire.cddl has them.
EVENTS: dict[int, tuple[str, tuple[str, ...]]] = {
    messages.EVENT_OUTAGE: ("outage", ("duration_s",)),
    messages.EVENT_LAST_GASP: ("last_gasp", ()),
    messages.EVENT_SAG: ("sag", ("phase", "extreme_mv", "duration_s")),
    messages.EVENT_SWELL: ("swell", ("phase", "extreme_mv", "duration_s")),
    messages.EVENT_TAMPER: ("tamper", ("opened",)),
    messages.EVENT_CLOCK_SET: ("clock_set", ("old_s", "new_s")),
    messages.EVENT_BOOT: ("boot", ("reason", "starts")),
    messages.EVENT_CONFIG_CHANGE: ("config_change", ("command", "value")),
    messages.EVENT_COUNTER_LOSS: ("counter_loss", ()),
    messages.EVENT_FLASH_DAMAGE: ("flash_damage", ("blocks", "slots")),
    messages.EVENT_UPDATE: ("update", ("state",)),
    messages.EVENT_EVENTS_LOST: ("events_lost", ("lost",)),
}


def message_of(row: Row) -> Any:
    """The message of an accepted frame. Raises DamagedStore: it could be read when it came."""
    try:
        return messages.decode(row.message, UP)
    except WireError:
        raise DamagedStore(
            f"journal row {row.journal_id} cannot be read; restore a backup"
        ) from None


def summary(row: Row, message: Any) -> Fields:
    """For whoever looks for one frame: its kind, and the energy that it brought.

    Registers as they were read at `at_s`; of a profile those at the end of its last interval, which
    is null where that one is missing. Of every other message the kind alone, because a result may
    hold what a command kept secret.
    """
    said: Fields = {"kind": type(message).__name__.lower()}
    if isinstance(message, Registers):
        return said | _some(registers(row, message), "at", "at_s", *_REGISTERS)
    if isinstance(message, Profile):
        every = list(readings(row, message))
        begin = _some(every[0], "start", "start_s", "capture_period_s")
        return said | begin | _some(every[-1], "end", "end_s", *_REGISTERS)
    return said


def utc(time_s: int) -> str | None:
    """RFC 3339, such as 2021-10-15T00:00:00Z; None for 0, which says that nobody knew the time."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time_s else None


def readings(row: Row, profile: Profile) -> Iterator[Fields]:
    """One object for each interval of a profile, in order."""
    registers = [
        list(accumulate(deltas, initial=register))[1:]
        for register, deltas in zip(profile.registers_wh, profile.deltas_wh, strict=True)
    ]
    for place, code in enumerate(profile.quality):
        start_s = profile.start_s + place * profile.capture_period_s
        known = quality.grade(code) != quality.MISSING
        fields: Fields = {
            "meter_id": row.meter_id.hex(),
            "interval": profile.first + place,
            "start": utc(start_s),
            "end": utc(start_s + profile.capture_period_s),
            "start_s": start_s,
            "end_s": start_s + profile.capture_period_s,
            "capture_period_s": profile.capture_period_s,
            "quality": quality.GRADES[quality.grade(code)],
            "flags": [name for flag, name in quality.FLAGS.items() if code & flag],
        }
        for channel, deltas, ends in zip(
            profile.channels, profile.deltas_wh, registers, strict=True
        ):
            unit, name = _UNITS.get(channel, "wh"), obis.NAMES[channel]
            if unit != "w":  # a demand has no energy
                fields.setdefault(f"energy_{unit}", {})[name] = deltas[place] if known else None
            fields.setdefault(f"registers_{unit}", {})[name] = ends[place] if known else None
        yield fields | _frame(row)


def registers(row: Row, message: Registers) -> Fields:
    """Registers read at one instant."""
    fields = _instant(row, message.at_s)
    for channel, register in zip(message.channels, message.registers_wh, strict=True):
        name = obis.NAMES.get(channel)
        if name is not None:
            fields.setdefault(f"registers_{_UNITS.get(channel, 'wh')}", {})[name] = register
    return fields | _frame(row)


def live(row: Row, message: Live) -> Fields:
    """Power, voltages and currents of the phases, frequency, at one instant."""
    return (
        _instant(row, message.at_s)
        | {
            "power_w": message.power_w,
            "voltage_mv": list(message.voltage_mv),
            "current_ma": list(message.current_ma),
            "frequency_mhz": message.frequency_mhz,
        }
        | _frame(row)
    )


def event(row: Row, message: Event) -> Fields:
    """An event with its values by name; those that a newer meter adds are value_4, value_5 ..."""
    name, names = EVENTS.get(message.code, ("unknown", ()))
    values = {
        names[place] if place < len(names) else f"value_{place + 1}": value
        for place, value in enumerate(message.values)
    }
    said = {"event": name, "code": message.code, "number": message.number, "values": values}
    return _instant(row, message.at_s) | said | _frame(row)


def senml(row: Row, profile: Profile, enterprise: int) -> Iterator[list[Fields]]:
    """A profile as SenML packs (RFC 8428), the values of an interval at its end.

    `1.8.0` is the register, `1.8.0_energy` what the interval added, `quality` a text. A missing
    interval has its quality only. The name is a device URN (RFC 9039 section 4.2) under an IANA
    private enterprise number.
    """
    pack: list[Fields] = []
    base_s = 0
    for place, reading in enumerate(readings(row, profile)):
        if not place % SENML_INTERVALS_MAX:
            if pack:
                yield pack
            base_s = reading["end_s"]
            name = f"urn:dev:os:{enterprise}-{reading['meter_id']}_"
            pack = [{"bn": name, "bt": base_s}]
        offset_s = reading["end_s"] - base_s
        when = {"t": offset_s} if offset_s else {}
        records: list[Fields] = []
        for unit, (senml_unit, factor) in _SENML.items():
            for field, suffix in (("energy", "_energy"), ("registers", "")):
                for channel, value in reading.get(f"{field}_{unit}", {}).items():
                    if value is not None:
                        number = {"u": senml_unit, "v": value * factor}
                        records.append({"n": channel + suffix, **number, **when})
        words = "+".join([reading["quality"], *reading["flags"]])
        records.append({"n": "quality", "vs": words, **when})
        if not place % SENML_INTERVALS_MAX:
            records[0] = pack.pop() | records[0]
        pack += records
    yield pack


def _some(fields: Fields, *names: str) -> Fields:
    return {name: fields[name] for name in names if name in fields}


def _instant(row: Row, at_s: int) -> Fields:
    return {"meter_id": row.meter_id.hex(), "at": utc(at_s), "at_s": at_s or None}


def _frame(row: Row) -> Fields:
    return {
        "key_epoch": row.key_epoch,
        "frame_counter": row.frame_counter,
        "received": utc(row.received_s),
        "received_s": row.received_s,
    }
