"""How long the flash lasts: records a day, erases a record, years of the most worn block."""

from collections import namedtuple

from firmware.keystore import COUNTERS_RESERVED
from firmware.storage import RING_NAMES, Storage, open_storage
from tests.support.a_meter import NOON_S, FakePulses
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash

CYCLES = 100_000  # erases that a block is good for (W25Q32JV datasheet, endurance)
YEARS_MIN = 20
DAYS_A_YEAR = 365.25
MIB_BLOCKS = 256  # the partition of our boards: 1 MiB
CAPTURE_PERIOD_S = 900
TICK_S = 5  # between two looks of boards/parts/real_clock.py
IMP_PER_KWH = 1000
HOUSEHOLD_W = 417  # 10 kWh a day, all day long: a load that rests at night saves less
LOADS_W = (HOUSEHOLD_W, 1_500, 2_000, 43_500)  # the last: 3 x 63 A at 230 V, day and night
EVENTS_A_DAY = 24
COMMANDS_A_DAY = 4
STARTS_A_DAY = 2

# records: a day; per_record: erases; worst: erases of the most worn block, a day
Wear = namedtuple("Wear", ("name", "slots", "blocks", "records", "per_record", "worst", "years"))


def state_saves(load_w: int) -> int:
    """How often a real Metering saves its state in a day of this load."""
    from firmware.metering import Metering

    pulses = FakePulses()
    storage = open_storage(FakeFlash(MIB_BLOCKS))
    metering = Metering(storage, pulses, IMP_PER_KWH, CAPTURE_PERIOD_S)
    before, milli = storage.state.newest, 0
    for second in range(0, 86_400, TICK_S):
        milli += load_w * IMP_PER_KWH * TICK_S // 3600  # thousandths of a pulse
        pulses.count(milli // 1000, 0)
        milli %= 1000
        metering.tick(NOON_S + second, TICK_S)
    return int(storage.state.newest - before)


def records_a_day(load_w: int = HOUSEHOLD_W) -> dict[str, int]:
    """Records of each ring in a day at the shipped cadence; every frame finds its receipt."""
    intervals = 86_400 // CAPTURE_PERIOD_S
    receipts = intervals + EVENTS_A_DAY + COMMANDS_A_DAY + STARTS_A_DAY
    return {
        "keystore": receipts + receipts // COUNTERS_RESERVED + 1 + STARTS_A_DAY,
        "state": state_saves(load_w) + STARTS_A_DAY,
        "settings": COMMANDS_A_DAY,
        "events": EVENTS_A_DAY,
        "dates": STARTS_A_DAY,
        "journal": intervals,
    }


def wear(name: str, records: int) -> Wear:
    """Fill a ring of the real layout for three turns and count what that costs each block."""
    flash = FakeFlash(MIB_BLOCKS)
    ring = getattr(open_storage(flash), name)
    appended = 3 * ring.blocks * ring.slots_per_block
    payload = bytes(ring.payload_bytes)
    for _ in range(appended):
        ring.append(payload)
    worst = max(flash.erases) * records / appended
    per_record = sum(flash.erases) / appended
    years = CYCLES / worst / DAYS_A_YEAR
    return Wear(name, ring.slots_per_block, ring.blocks, records, per_record, worst, years)


def all_wear(load_w: int = HOUSEHOLD_W) -> list[Wear]:
    """Every ring at the shipped cadence."""
    return [wear(name, records) for name, records in records_a_day(load_w).items()]


def days_held(storage: Storage) -> int:
    """Days of intervals that the journal holds even right after an erase."""
    journal = storage.journal
    return int((journal.blocks - 1) * journal.slots_per_block * CAPTURE_PERIOD_S // 86_400)


def main() -> None:
    """Print the table of rings, and the state's years under heavier loads."""
    print("ring       slots  blocks  records/day  erases/record   worst block:")
    print("           /block                                      erases/record  /day     years")
    for row in all_wear():
        print(
            f"{row.name:<11}{row.slots:>5}{row.blocks:>8}{row.records:>13}{row.per_record:>15.4f}"
            f"{row.worst / row.records:>16.5f}{row.worst:>8.3f}{row.years:>8.0f}"
        )
    for load_w in LOADS_W:
        row = wear("state", records_a_day(load_w)["state"])
        print(f"{load_w:>6} W all day: {row.records:>6} saves a day, {row.years:.0f} years")
    storage = open_storage(FakeFlash(MIB_BLOCKS))
    print(f"{days_held(storage)} days of 15-minute intervals x 4 channels in 1 MiB", end="")
    print(f"; blocks of {BLOCK_BYTES} B, {CYCLES} cycles; rings: {', '.join(RING_NAMES)}")


if __name__ == "__main__":
    main()
