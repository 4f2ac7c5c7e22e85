"""How long the flash lasts: records a day, erases a record, years of the most worn block."""

from collections import namedtuple

from firmware.keystore import COUNTERS_RESERVED
from firmware.metering import Metering
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
FUSE_W = 43_500  # 3 x 63 A at 230 V, day and night
LOADS_W = (HOUSEHOLD_W, 1_500, 2_000, 4_167, FUSE_W)  # 10, 36, 48, 100 kWh a day, and 1044
ZONE_CHANGES_A_DAY = 4  # G12: off-peak at night and after noon
EVENTS_A_DAY = 24
COMMANDS_A_DAY = 4
STARTS_A_DAY = 2

# records: a day; per_record: erases; worst: erases of the most worn block, a day
Wear = namedtuple("Wear", ("name", "slots", "blocks", "records", "per_record", "worst", "years"))


def saves(load_w: int) -> tuple[int, int]:
    """How often a real Metering saves its state and its counts in a day of this load."""
    pulses = FakePulses()
    storage = open_storage(FakeFlash(MIB_BLOCKS))
    metering = Metering(storage, pulses, IMP_PER_KWH, CAPTURE_PERIOD_S, zone_of=a_zone)
    states, counts, milli = storage.state.newest, storage.counts.newest, 0
    for second in range(0, 86_400, TICK_S):
        milli += load_w * IMP_PER_KWH * TICK_S // 3600  # thousandths of a pulse
        pulses.count(milli // 1000, 0)
        milli %= 1000
        metering.tick(NOON_S + second, TICK_S)
    return int(storage.state.newest - states), int(storage.counts.newest - counts)


def a_zone(at_s: int) -> int:
    """Zones that change ZONE_CHANGES_A_DAY times a day."""
    return at_s * ZONE_CHANGES_A_DAY // 86_400 % 2


def records_a_day(load_w: int = HOUSEHOLD_W) -> dict[str, int]:
    """Records of each ring in a day at the shipped cadence; every frame finds its receipt."""
    intervals = 86_400 // CAPTURE_PERIOD_S
    receipts = intervals + EVENTS_A_DAY + COMMANDS_A_DAY + STARTS_A_DAY
    states, counts = saves(load_w)
    return {
        "keystore": receipts + receipts // COUNTERS_RESERVED + 1 + STARTS_A_DAY,
        "state": states + STARTS_A_DAY,
        "counts": counts,
        "settings": COMMANDS_A_DAY,
        "events": EVENTS_A_DAY,
        "dates": STARTS_A_DAY,
        "journal": intervals,
    }


def wear(name: str, records: int) -> Wear:
    """Go three turns round a full ring of the real layout and count what that costs each block."""
    flash = FakeFlash(MIB_BLOCKS)
    ring = getattr(open_storage(flash), name)
    appended = 3 * ring.blocks * ring.slots_per_block
    payload = bytes(ring.payload_bytes)
    for turned in (ring.blocks * ring.slots_per_block, appended):
        flash.erases = [0] * MIB_BLOCKS  # the first turn fills blocks that are blank already
        for _ in range(turned):
            ring.append(payload)
    worst = max(flash.erases) * records / appended
    per_record = sum(flash.erases) / appended
    years = CYCLES / worst / DAYS_A_YEAR
    return Wear(name, ring.slots_per_block, ring.blocks, records, per_record, worst, years)


def all_wear(load_w: int = HOUSEHOLD_W) -> list[Wear]:
    """Every ring at the shipped cadence."""
    return [wear(name, records) for name, records in records_a_day(load_w).items()]


def erases_per_record(rows: list[Wear]) -> float:
    """Erases of all rings over records of all rings."""
    erases: float = sum(row.per_record * row.records for row in rows)
    records: int = sum(row.records for row in rows)
    return erases / records


def days_held(storage: Storage) -> int:
    """Days of intervals that the journal holds even right after an erase."""
    journal = storage.journal
    return int((journal.blocks - 1) * journal.slots_per_block * CAPTURE_PERIOD_S // 86_400)


def records_of(rows: list[Wear], name: str) -> int:
    """Records a day of one ring."""
    return int(next(row.records for row in rows if row.name == name))


def main() -> None:
    """Print the table of rings, and the years of the worst one under heavier loads."""
    print("ring       slots  blocks  records/day  erases/record   worst block:")
    print("           /block                                      erases/record  /day     years")
    rows = all_wear()
    for row in rows:
        print(
            f"{row.name:<11}{row.slots:>5}{row.blocks:>8}{row.records:>13}{row.per_record:>15.4f}"
            f"{row.worst / row.records:>16.5f}{row.worst:>8.3f}{row.years:>8.0f}"
        )
    records = sum(row.records for row in rows)
    print(f"all        {records:>26}{erases_per_record(rows):>15.4f}")
    for load_w in LOADS_W:
        rows = all_wear(load_w)
        row = min(rows, key=lambda row: row.years)
        print(
            f"{load_w * 24 / 1000:>5.0f} kWh a day: {records_of(rows, 'state')} states, "
            f"{records_of(rows, 'counts')} counts, {erases_per_record(rows):.4f} erases a record; "
            f"{row.name} lasts {row.years:.0f} years"
        )
    storage = open_storage(FakeFlash(MIB_BLOCKS))
    print(f"{days_held(storage)} days of 15-minute intervals x 4 channels in 1 MiB", end="")
    print(f"; blocks of {BLOCK_BYTES} B, {CYCLES} cycles; rings: {', '.join(RING_NAMES)}")


if __name__ == "__main__":
    main()
