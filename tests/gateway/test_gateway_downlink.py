"""Commands on their way: when they are sent, how often, in which order, and what marks them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway import journal
from gateway.downlink import commands
from gateway.service import Service
from tests.support.a_commander import STATUS, Obeying, a_config, act, queue, states
from tests.support.gateway import a_gateway, a_home, a_meter, refusals, until
from wire import messages
from wire.messages import Result

METER = a_meter(1)


async def settled(service: Service) -> None:
    """What was acted is known to the gateway, and its looks are done."""
    await service.news.look()
    await asyncio.sleep(0.2)


def test_a_command_is_sent_after_the_first_frame_of_a_session_and_marked_by_its_result(
    tmp_path: Path,
) -> None:
    home = a_home(tmp_path, METER)
    row_id = queue(tmp_path, METER, messages.COMMAND_SET_CAPTURE_PERIOD, 900)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            await meter.join(service.port)
            await asyncio.sleep(0.3)
            assert meter.heard == []
            assert states(tmp_path) == ["queued"]
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["done"])
            assert [(one.code, one.args) for one in meter.acts] == [(4, (900,))]
            await until(lambda: service.downlink.meters_waiting == 0)
            await meter.leave()

    asyncio.run(go())
    shown = act(tmp_path, lambda connection: commands.rows(connection, row_id=row_id))[0]
    assert (shown["attempts"], shown["result_code"]) == (1, messages.RESULT_DONE)
    assert shown["queued_s"] <= shown["sent_s"] <= shown["ended_s"]


def test_a_command_that_is_queued_while_the_meter_is_there_is_sent_within_a_second(
    tmp_path: Path,
) -> None:
    home = a_home(tmp_path, METER)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: service.intake.accepted == 1)
            queue(tmp_path, METER, messages.COMMAND_READ_NOW)
            await until(lambda: states(tmp_path) == ["done"], limit_s=3)
            await meter.leave()

    asyncio.run(go())
    said = act(tmp_path, lambda connection: journal.read_rows(connection, 0, 10))
    assert len(said) == 3, "status, registers, result"


def test_commands_go_one_at_a_time_and_in_order(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    for period_s in (60, 300, 900):
        queue(tmp_path, METER, messages.COMMAND_SET_CAPTURE_PERIOD, period_s)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: None
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: meter.heard)
            await asyncio.sleep(0.3)
            assert states(tmp_path) == ["sent", "queued", "queued"]
            meter.answer = lambda command: Result(command.command_id, 0, b"")
            meter._obey(meter.heard[0])
            await until(lambda: states(tmp_path) == ["done"] * 3)
            assert [one.args for one in meter.acts] == [(60,), (300,), (900,)]
            await meter.leave()

    asyncio.run(go())


def test_a_lost_command_goes_again_under_its_id_after_the_retry_time(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_RESTART)

    async def go() -> None:
        async with a_gateway(a_config(home, retry_s=1)) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: (
                None if len(meter.heard) < 2 else Result(command.command_id, 0, b"")
            )
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["done"])
            assert len(meter.heard) == 2
            assert meter.heard[0] == meter.heard[1]
            assert service.downlink.repeated == 1
            await meter.leave()

    asyncio.run(go())


def test_a_new_session_hears_again_what_the_old_one_was_told(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_RESTART)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: None
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: len(meter.heard) == 1)
            await meter.leave()
            meter.answer = lambda command: Result(command.command_id, 0, b"")
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["done"])
            assert len(meter.heard) == 2
            assert len(meter.acts) == 1
            await meter.leave()

    asyncio.run(go())


def test_a_restarted_gateway_sends_again_what_it_does_not_know_the_result_of(
    tmp_path: Path,
) -> None:
    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_RESTART)
    meter = Obeying(METER)
    meter.answer = lambda command: None

    async def talk(done: int) -> None:
        async with a_gateway(home) as service:
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: len(meter.heard) == done)
            if done == 2:
                await until(lambda: states(tmp_path) == ["done"])
            await meter.leave()

    asyncio.run(talk(1))
    assert states(tmp_path) == ["sent"]
    meter.answer = lambda command: Result(command.command_id, 0, b"")
    asyncio.run(talk(2))
    assert len({one.command_id for one in meter.heard}) == 1


def test_a_cancelled_command_is_not_sent_again_and_the_next_one_goes(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    first = queue(tmp_path, METER, messages.COMMAND_RESTART)
    queue(tmp_path, METER, messages.COMMAND_READ_NOW)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: (
                None if command.code == messages.COMMAND_RESTART else
                Result(command.command_id, 0, b"")
            )  # fmt: skip
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: len(meter.heard) == 1)
            act(tmp_path, lambda connection: commands.cancel(connection, first, "anna", 1))
            await until(lambda: states(tmp_path) == ["cancelled", "done"], limit_s=4)
            await meter.leave()

    asyncio.run(go())


def test_a_command_expires_for_a_meter_that_never_comes(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_RESTART, now_s=1_700_000_000)

    async def go() -> None:
        async with a_gateway(home) as service:
            await until(lambda: states(tmp_path) == ["expired"])
            await until(lambda: service.downlink.expired == 1)

    asyncio.run(go())


def test_a_result_for_an_id_nobody_gave_is_counted_and_the_meter_goes_on(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            await meter.join(service.port)
            meter.say(Result(12_345, 0, b""))
            meter.say(Result(12_346, 0, b""))
            await until(lambda: refusals(tmp_path).get("unknown_result") == 2)
            queue(tmp_path, METER, messages.COMMAND_READ_NOW)
            await until(lambda: states(tmp_path) == ["done"], limit_s=3)
            await meter.leave()

    asyncio.run(go())


def test_a_damaged_secret_fails_its_command_and_holds_up_nothing(tmp_path: Path) -> None:
    from gateway.downlink.command_args import Hidden

    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_HOME_KEY, Hidden(bytes(56), 16))
    queue(tmp_path, METER, messages.COMMAND_READ_NOW)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["failed", "done"])
            await meter.leave()

    asyncio.run(go())


def test_a_meter_that_does_not_listen_is_not_told(tmp_path: Path) -> None:
    from tests.support.gateway import Client

    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_READ_NOW)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.client = await Client.open(service.port)
            await meter.client.connect(METER)
            meter.say(STATUS)
            await until(lambda: service.intake.accepted == 1)
            await settled(service)
            assert states(tmp_path) == ["queued"]
            await meter.client.close()

    asyncio.run(go())


def test_only_meters_with_something_queued_take_room(tmp_path: Path) -> None:
    meters = [a_meter(number) for number in range(20)]
    home = a_home(tmp_path, *meters)
    queue(tmp_path, meters[3], messages.COMMAND_RESTART)

    async def go() -> None:
        async with a_gateway(home) as service:
            assert service.downlink.meters_waiting == 1
            assert service.downlink._look == {}

    asyncio.run(go())
