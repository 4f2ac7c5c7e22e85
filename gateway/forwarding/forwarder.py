"""Carries frozen batches to settlement: in order, at least once, the same bytes each time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import structlog

from gateway.audit import Act
from gateway.errors import StoreError
from gateway.forwarding import attempts, outbox
from gateway.forwarding.attempts import (
    CODINGS,
    DELIVERED,
    POISON,
    RETRY,
    Reply,
    Timing,
    read_answer,
)
from gateway.forwarding.outbox import Frozen
from gateway.listener import Listener
from gateway.store import Store
from wire import batch as wire_batch

CONNECT_S = 10.0
ANSWER_BYTES_MAX = 1024 * 1024
PARKED_METERS_MAX = 8  # of so many in a row nothing is taken: it is not they who are wrong

log = structlog.get_logger()


class Forwarder(Listener):
    """One loop: freeze, send until there is an answer, note it."""

    def __init__(
        self,
        store: Store,
        gateway_id: str,
        url: str,
        token: str,
        clock_s: Callable[[], int],
        chance: Callable[[], float],
        timing: Timing = Timing(),
    ) -> None:
        self.store, self._gateway_id, self._url = store, gateway_id, f"{url}/v1/batches"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # answers are small, and read as they come
        }
        self._clock_s, self._chance, self._timing = clock_s, chance, timing
        self._coding = CODINGS[0]
        self._rows_max = outbox.FREEZE_ROWS_MAX
        self._parked_meters = set[str]()  # of profiles parked since something was taken last
        self._behind = False  # the journal had more than one batch takes
        self._more = asyncio.Event()
        self._more.set()  # what an earlier run left
        self.requests = Counter[str]()  # by HTTP status, or by what went wrong instead

    def __repr__(self) -> str:
        return f"Forwarder({self._url})"

    def notify(self) -> None:
        """There are new journal rows."""
        self._more.set()

    def acted(self, act: Act) -> None:
        """Somebody may have had a parked profile sent again."""
        if act.action == "parked.retry":
            self._more.set()

    async def run(self) -> None:
        """Until cancelled. A batch in flight then is sent again, under its key, by the next run."""
        timeout = aiohttp.ClientTimeout(total=self._timing.request_s, sock_connect=CONNECT_S)
        failures = 0
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                try:
                    frozen = await self._next()
                    if frozen is not None:
                        await self._deliver(session, frozen)
                    failures = 0
                except StoreError as error:
                    log.error("outbox_failed", error=str(error))
                    self._more.set()  # what was to be frozen still is
                    await asyncio.sleep(attempts.backoff_s(failures, self._chance(), self._timing))
                    failures += 1

    async def _next(self) -> Frozen | None:
        """The batch to send now; None when one was only looked for."""
        frozen = await self.store.run(outbox.next_frozen)
        if frozen is not None:
            return frozen
        if not self._behind:
            await self._more.wait()
            await asyncio.sleep(self._timing.linger_s)
        self._more.clear()
        rows_max = self._rows_max
        rows = await self.store.run(lambda connection: outbox.read_rows(connection, rows_max))
        self._behind = len(rows) == rows_max
        if not rows:
            return None
        new = await asyncio.to_thread(outbox.build, self._gateway_id, rows)
        self._behind |= new.last_id != rows[-1].journal_id
        now_s = self._clock_s()
        batch_id = await self.store.run(lambda connection: outbox.freeze(connection, new, now_s))
        return new._replace(batch_id=batch_id) if new.profiles else None

    async def _deliver(self, session: aiohttp.ClientSession, frozen: Frozen) -> None:
        attempt = 0
        while True:
            coding = self._coding
            reply = await self._send(session, frozen)
            if reply.outcome == DELIVERED or (reply.outcome == POISON and frozen.profiles > 1):
                await self._finish(frozen, reply)
                return
            if reply.outcome == POISON and await self._may_park(frozen, attempt):
                await self._finish(frozen, reply)
                return
            if coding == self._coding:
                await self._pause(frozen, reply, attempt)
            attempt += 1

    async def _pause(self, frozen: Frozen, reply: Reply, attempt: int) -> None:
        wait_s = self._wait_s(attempt, reply)
        log.log(
            logging.WARNING if reply.outcome == RETRY else logging.ERROR,
            "settlement_waits",
            batch_id=frozen.batch_id,
            why=reply.why,
            attempt=attempt,
            wait_s=round(wait_s, 2),
        )
        await asyncio.sleep(wait_s)

    async def _may_park(self, frozen: Frozen, attempt: int) -> bool:
        """Whether to park a profile that stands alone, rather than to send it once more.

        Profiles of many meters, one after another: something is wrong with settlement, or before
        it. Then each is sent twice with a long pause between, so a whole backlog is not parked in
        a minute, and no single profile stops the others for good either.
        """
        meter_id = await asyncio.to_thread(outbox.meter_of, frozen)
        many = len(self._parked_meters | {meter_id}) > PARKED_METERS_MAX
        if many and not attempt:
            return False
        if not many:
            self._parked_meters.add(meter_id)
        return True

    async def _finish(self, frozen: Frozen, reply: Reply) -> None:
        now_s, answer = self._clock_s(), reply.answer
        if answer is not None:
            await self.store.run(lambda c: outbox.delivered(c, frozen, answer, now_s))
            if answer.accepted + answer.duplicate:
                self._parked_meters.clear()
            _log_delivered(frozen, answer)
        elif frozen.profiles > 1:
            if reply.status == 413:  # a limit smaller than ours: do not run into it every time
                self._rows_max = max(1, frozen.profiles // 2)
            await self.store.run(lambda c: outbox.split(c, frozen, now_s))
            log.warning("batch_split", batch_id=frozen.batch_id, why=reply.why)
        else:
            code = f"http_{reply.status}"
            await self.store.run(lambda c: outbox.park(c, frozen, code, now_s))
            log.error(
                "profile_parked",
                journal_id=frozen.last_id,
                why=reply.why,
                next="`gateway parked list` shows it, `gateway parked retry` sends it again",
            )

    def _wait_s(self, attempt: int, reply: Reply) -> float:
        if reply.outcome != RETRY:  # a person has to act: no hurry
            return self._timing.cap_s
        return max(attempts.backoff_s(attempt, self._chance(), self._timing), reply.retry_after_s)

    async def _send(self, session: aiohttp.ClientSession, frozen: Frozen) -> Reply:
        headers = self._headers | {
            "Idempotency-Key": frozen.idempotency_key,
            "Content-Encoding": self._coding,
        }
        data = await asyncio.to_thread(attempts.encoded, frozen.body, self._coding)
        try:
            async with session.post(
                self._url, data=data, headers=headers, allow_redirects=False
            ) as response:
                self.requests[str(response.status)] += 1
                accept = response.headers.get("Accept-Encoding")
                self._coding = attempts.coding_for(response.status, accept, self._coding)
                outcome = attempts.outcome_of(response.status)
                if outcome == DELIVERED:
                    return read_answer(await _bounded(response), frozen)
                after_s = attempts.retry_after_s(
                    response.headers.get("Retry-After"), datetime.now(UTC)
                )
                return Reply(
                    outcome, attempts.why(response.status), after_s, status=response.status
                )
        except TimeoutError:
            self.requests["timeout"] += 1
            return Reply(RETRY, "time-out")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self.requests["unreachable"] += 1
            return Reply(RETRY, f"{type(error).__name__}: settlement is not reached")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise ValueError("an answer longer than agreed")
    return bytes(data)


def _log_delivered(frozen: Frozen, answer: wire_batch.Answer) -> None:
    log.info(
        "delivered",
        batch_id=frozen.batch_id,
        profiles=frozen.profiles,
        accepted=answer.accepted,
        duplicate=answer.duplicate,
        rejected=len(answer.rejected),
        bytes=len(frozen.body),
    )
    for rejection in answer.rejected[:5]:  # `gateway parked list` shows all of them
        log.warning("profile_rejected", batch_id=frozen.batch_id, code=rejection.code)
