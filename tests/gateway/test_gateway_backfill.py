"""Missing intervals: asked for when they stay missing, recorded as lost when nobody has them."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

from gateway.downlink import backfill, commands
from gateway.downlink.backfill import GAP_OPEN_S, Missing, first_gap, pieces
from gateway.intervals import Intervals
from gateway.service import Service, clock_s
from tests.support.a_commander import Obeying, act, states
from tests.support.gateway import a_gateway, a_home, a_meter, a_profile, until
from wire import messages
from wire.messages import Command, Result

METER = a_meter(1)


def holding(held: int, code: int = messages.RESULT_DONE) -> Any:
    """A meter that holds so many of whatever it is asked for."""
    return lambda command: Result(command.command_id, code, struct.pack(">I", held))


def shown(folder: Path) -> list[tuple[int, int, str, str]]:
    found = act(folder, lambda connection: backfill.rows(connection))
    return [(row["first"], row["last"], row["kind"], row["state"]) for row in found]


def asked(meter: Obeying) -> list[tuple[int, int]]:
    return [command.args for command in meter.acts]


async def later(service: Service, seconds: int) -> None:
    """A look so many seconds from now; what is sent afterwards is sent at that time, too."""
    service.backfill._clock_s = service.downlink._clock_s = lambda: clock_s() + seconds
    await service.backfill.look()


# ------------------------------------------------------------------ deciding


def test_a_gap_is_asked_for_up_to_the_next_interval_and_2976_at_the_most() -> None:
    assert first_gap(Intervals(10)) is None
    assert first_gap(Intervals(10, [(13, 20)])) == Missing(11, 12, "gap")
    assert first_gap(Intervals(10, [(13, 20), (30, 31)])) == Missing(11, 12, "gap")
    assert first_gap(Intervals(0, [(2977, 2977)])) == Missing(1, 2976, "gap")
    assert first_gap(Intervals(0, [(2978, 2978)])) == Missing(1, 2976, "gap")


def test_what_was_given_up_is_asked_for_newest_first_in_four_pieces() -> None:
    assert pieces(1, 99) == ([Missing(1, 99, "given_up")], None)
    found, too_old = pieces(1, 4 * 2976)
    assert [(one.first, one.last) for one in found] == [
        (8929, 11904), (5953, 8928), (2977, 5952), (1, 2976),
    ]  # fmt: skip
    assert too_old is None
    assert pieces(1, 4 * 2976 + 1)[1] == Missing(1, 1, "given_up")


# ------------------------------------------------------------------ asking


def run(tmp_path: Path, answer: Any, talk: Any) -> Obeying:
    home = a_home(tmp_path, METER)
    meter = Obeying(METER)
    meter.answer = answer

    async def go() -> None:
        async with a_gateway(home) as service:
            await meter.join(service.port)
            await talk(service, meter)
            await meter.leave()

    asyncio.run(go())
    return meter


async def a_gap(service: Service, meter: Obeying) -> None:
    """Intervals 1 to 4 and 9 to 10 are here."""
    meter.say(a_profile(1, 4, oldest=1))
    meter.say(a_profile(9, 2, oldest=1))
    await until(lambda: service.backfill._look)
    await service.backfill.look()


def test_a_gap_is_asked_for_once_it_stays_open_for_ten_minutes(tmp_path: Path) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        await a_gap(service, meter)
        service.backfill._since = {
            one: (first, at_s - 2) for one, (first, at_s) in service.backfill._since.items()
        }
        await later(service, GAP_OPEN_S - 4)
        assert states(tmp_path) == []
        await later(service, GAP_OPEN_S)
        await until(lambda: states(tmp_path) == ["done"])
        assert asked(meter) == [(5, 4)]
        assert shown(tmp_path) == [(5, 8, "gap", "open")]
        meter.say(a_profile(5, 4, oldest=1))
        meter.say(a_profile(13, 1, oldest=1))
        known = next(iter(service.registry.meters.values())).progress.intervals
        await until(lambda: known.islands == [(13, 13)])
        await later(service, GAP_OPEN_S)
        service.backfill._since = {
            one: (first, at_s - 2 * GAP_OPEN_S)
            for one, (first, at_s) in service.backfill._since.items()
        }
        await later(service, GAP_OPEN_S)
        assert shown(tmp_path)[0] == (5, 8, "gap", "filled")

    run(tmp_path, holding(4), talk)


def test_a_gap_that_the_meter_closes_by_itself_is_not_asked_for(tmp_path: Path) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        await a_gap(service, meter)
        meter.say(a_profile(5, 4, oldest=1))
        known = next(iter(service.registry.meters.values())).progress.intervals
        await until(lambda: known.upto == 10)
        await later(service, 2 * GAP_OPEN_S)
        assert shown(tmp_path) == []
        assert service.backfill._look == set()

    assert asked(run(tmp_path, holding(4), talk)) == []


def test_a_gap_of_a_meter_that_is_not_heard_meanwhile_waits(tmp_path: Path) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        await a_gap(service, meter)
        for one in service.backfill._since:
            one.heard_s -= 10
        await later(service, 2 * GAP_OPEN_S)
        assert shown(tmp_path) == []

    assert asked(run(tmp_path, holding(4), talk)) == []


def test_what_a_restored_backup_does_not_know_is_asked_for_again(tmp_path: Path) -> None:
    """The meter was receipted up to 99 once; this database begins at 100."""

    async def talk(service: Service, meter: Obeying) -> None:
        meter.say(a_profile(100, 1, oldest=100))
        await until(lambda: service.backfill._look)
        await service.backfill.look()
        await until(lambda: states(tmp_path) == ["done"])
        assert shown(tmp_path) == [(1, 99, "given_up", "filled")]
        await later(service, 10 * 86_400)
        assert states(tmp_path) == ["done"]

    assert asked(run(tmp_path, holding(99), talk)) == [(1, 99)]


def test_what_no_meter_holds_any_more_is_lost_and_not_asked_for_again(tmp_path: Path) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        meter.say(a_profile(100, 1, oldest=100))
        await until(lambda: service.backfill._look)
        await service.backfill.look()
        await until(lambda: states(tmp_path) == ["done"])
        assert shown(tmp_path) == [(1, 99, "given_up", "lost")]
        await later(service, 10 * 86_400)
        assert states(tmp_path) == ["done"]

    assert asked(run(tmp_path, holding(0), talk)) == [(1, 99)]


def test_of_what_a_ring_holds_in_part_the_oldest_are_lost(tmp_path: Path) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        meter.say(a_profile(100, 1, oldest=100))
        await until(lambda: service.backfill._look)
        await service.backfill.look()
        await until(lambda: states(tmp_path) == ["done"])
        assert shown(tmp_path) == [(1, 79, "given_up", "lost"), (80, 99, "given_up", "filled")]

    run(tmp_path, holding(20), talk)


def test_one_request_of_a_meter_is_open_at_a_time(tmp_path: Path) -> None:
    def answer(command: Command) -> Result | None:
        return None

    async def talk(service: Service, meter: Obeying) -> None:
        meter.say(a_profile(5000, 1, oldest=5000))
        await until(lambda: service.backfill._look)
        for _ in range(3):
            await service.backfill.look()
        await until(lambda: meter.heard)
        assert [command.args for command in meter.heard] == [(2024, 2976)]
        assert states(tmp_path) == ["sent"]
        meter.answer = holding(2976)
        meter._obey(meter.heard[0])
        await until(lambda: states(tmp_path) == ["done"])
        await service.backfill.look()
        await until(lambda: states(tmp_path) == ["done", "done"])
        assert asked(meter) == [(2024, 2976), (1, 2023)]

    run(tmp_path, answer, talk)


def test_a_request_without_success_is_repeated_ever_more_seldom_and_then_given_up(
    tmp_path: Path,
) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        meter.say(a_profile(100, 1, oldest=100))
        await until(lambda: service.backfill._look)
        await service.backfill.look()
        passed_s = 0
        for times in range(1, backfill.ASKED_MAX + 1):
            await until(lambda: states(tmp_path) == ["refused"] * times)  # noqa: B023
            assert len(asked(meter)) == times
            passed_s += backfill.ASK_AGAIN_S << (times - 1)
            await later(service, passed_s - 30)
            assert len(states(tmp_path)) == times
            passed_s += 30
            await later(service, passed_s)
        assert states(tmp_path) == ["refused"] * backfill.ASKED_MAX
        assert shown(tmp_path) == [(1, 99, "given_up", "lost")]

    run(tmp_path, holding(0, messages.RESULT_REFUSED), talk)


def test_a_full_queue_of_commands_only_puts_it_off(tmp_path: Path) -> None:
    async def talk(service: Service, meter: Obeying) -> None:
        def fill(connection: Any) -> None:
            for _ in range(commands.QUEUE_MAX):
                commands.queue(
                    connection, METER.meter_id, messages.COMMAND_READ_NOW, (), actor="a",
                    now_s=service.backfill._clock_s(), origin="x",
                )  # fmt: skip

        act(tmp_path, fill)
        meter.say(a_profile(100, 1, oldest=100))
        await until(lambda: service.backfill._look)
        await service.backfill.look()
        assert shown(tmp_path) == [(1, 99, "given_up", "open")]
        act(tmp_path, lambda c: c.execute("DELETE FROM command"))
        await later(service, backfill.ASK_AGAIN_S + 1)
        await until(lambda: asked(meter))

    assert asked(run(tmp_path, holding(99), talk)) == [(1, 99)]


def test_backfill_can_be_switched_off(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    home.write_text(home.read_text() + "[downlink]\nbackfill = false\n")

    async def go() -> None:
        async with a_gateway(home) as service:
            assert service.backfill not in service.listeners

    asyncio.run(go())
