"""Carries frozen batches to settlement: in order, at least once, the same bytes each time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp
import structlog

from gateway import outbox
from gateway.errors import StoreError
from gateway.outbox import Frozen
from gateway.store import Store
from wire import batch as wire_batch
from wire.errors import Malformed

REQUEST_S = 60.0
CONNECT_S = 10.0
ANSWER_BYTES_MAX = 1024 * 1024
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.5, 60.0
RETRY_AFTER_S_MAX = 3600.0
LINGER_S = 0.2  # lets a few commits share a batch

DELIVERED, RETRY, REFUSED, POISON = "delivered", "retry", "refused", "poison"

_RETRY = {408, 409, 425, 429}  # time-out, original still running, too early, too many
_POISON = {400, 413, 422}  # this batch will never be taken; others may

log = structlog.get_logger()


class Timing(NamedTuple):
    """How long to wait, in seconds; tests shorten it."""

    request_s: float = REQUEST_S
    base_s: float = BACKOFF_BASE_S
    cap_s: float = BACKOFF_CAP_S
    linger_s: float = LINGER_S


class Reply(NamedTuple):
    """What an attempt came to."""

    outcome: str
    why: str
    retry_after_s: float = 0.0
    answer: wire_batch.Answer | None = None


def outcome_of(status: int) -> str:
    """What an HTTP status means for the batch that was sent."""
    if 200 <= status < 300:
        return DELIVERED
    if status in _RETRY or status >= 500:
        return RETRY
    return POISON if status in _POISON else REFUSED


def backoff_s(attempt: int, chance: float, timing: Timing) -> float:
    """Full jitter: anywhere between nothing and an exponentially growing, capped bound.

    `chance` is in [0, 1); attempt counts from 0. Gateways that failed together do not return
    together.
    """
    return chance * min(timing.cap_s, timing.base_s * 2.0 ** min(attempt, 32))


def retry_after_s(header: str | None, now: datetime) -> float:
    """RFC 9110 section 10.2.3: seconds or a date; 0 when missing, past or not understood."""
    if header is None:
        return 0.0
    if header.isascii() and header.isdigit() and len(header) <= 9:
        seconds = float(header)
    else:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


class Forwarder:
    """One loop: freeze, send until there is an answer, note it."""

    def __init__(
        self,
        store: Store,
        gateway_id: str,
        url: str,
        token: str,
        clock_s: Callable[[], int],
        chance: Callable[[], float],
        timing: Timing = Timing(),  # noqa: B008  (immutable)
    ) -> None:
        self.store, self._gateway_id, self._url = store, gateway_id, f"{url}/v1/batches"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Content-Encoding": "zstd",
        }
        self._clock_s, self._chance, self._timing = clock_s, chance, timing
        self._more = asyncio.Event()
        self._more.set()  # what an earlier run left

    def __repr__(self) -> str:
        return f"Forwarder({self._url})"

    def notify(self) -> None:
        """There are new journal rows."""
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
                    await asyncio.sleep(backoff_s(failures, self._chance(), self._timing))
                    failures += 1

    async def _next(self) -> Frozen | None:
        """The batch to send now; None when one was only looked for."""
        frozen = await self.store.run(outbox.next_frozen)
        if frozen is not None:
            return frozen
        await self._more.wait()
        await asyncio.sleep(self._timing.linger_s)
        self._more.clear()
        rows = await self.store.run(outbox.read_rows)
        if not rows:
            return None
        if len(rows) == outbox.FREEZE_ROWS_MAX:
            self._more.set()
        new = await asyncio.to_thread(outbox.build, self._gateway_id, rows)
        if new.last_id != rows[-1][0]:
            self._more.set()
        now_s = self._clock_s()
        batch_id = await self.store.run(lambda connection: outbox.freeze(connection, new, now_s))
        return new._replace(batch_id=batch_id) if new.profiles else None

    async def _deliver(self, session: aiohttp.ClientSession, frozen: Frozen) -> None:
        attempt = 0
        while True:
            reply = await self._send(session, frozen)
            if reply.outcome in (DELIVERED, POISON):
                await self._finish(frozen, reply)
                return
            wait_s = self._wait_s(attempt, reply)
            log.log(
                logging.ERROR if reply.outcome == REFUSED else logging.WARNING,
                "settlement_waits",
                batch_id=frozen.batch_id,
                why=reply.why,
                attempt=attempt,
                wait_s=round(wait_s, 2),
            )
            await asyncio.sleep(wait_s)
            attempt += 1

    async def _finish(self, frozen: Frozen, reply: Reply) -> None:
        now_s, answer = self._clock_s(), reply.answer
        if answer is not None:
            await self.store.run(lambda c: outbox.delivered(c, frozen, answer, now_s))
            _log_delivered(frozen, answer)
            return
        await self.store.run(lambda c: outbox.park(c, frozen, now_s))
        log.error(
            "batch_parked",
            batch_id=frozen.batch_id,
            why=reply.why,
            next="see docs/gateway.md, parked batches",
        )

    def _wait_s(self, attempt: int, reply: Reply) -> float:
        if reply.outcome == REFUSED:  # a person has to act: no hurry
            return self._timing.cap_s
        return max(backoff_s(attempt, self._chance(), self._timing), reply.retry_after_s)

    async def _send(self, session: aiohttp.ClientSession, frozen: Frozen) -> Reply:
        headers = self._headers | {"Idempotency-Key": frozen.idempotency_key}
        try:
            async with session.post(
                self._url, data=frozen.body, headers=headers, allow_redirects=False
            ) as response:
                outcome = outcome_of(response.status)
                if outcome == DELIVERED:
                    return _read_answer(await _bounded(response), frozen)
                after_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
                return Reply(outcome, _why(response.status), after_s)
        except TimeoutError:
            return Reply(RETRY, "time-out")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reply(RETRY, f"{type(error).__name__}: settlement is not reached")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise ValueError("an answer longer than agreed")
    return bytes(data)


def _read_answer(body: bytes, frozen: Frozen) -> Reply:
    """A success that does not account for every profile is no success."""
    try:
        answer = wire_batch.decode_answer(body)
    except Malformed:
        return Reply(RETRY, "the answer is not as agreed; is [settlement] url right?")
    if not outbox.is_answer_to(answer, frozen):
        return Reply(RETRY, "the answer does not account for every profile")
    return Reply(DELIVERED, "", answer=answer)


def _why(status: int) -> str:
    if status in (401, 403):
        return f"HTTP {status}: settlement refuses the token; check [settlement] token_file"
    if outcome_of(status) == REFUSED:
        return f"HTTP {status}: not settlement's address; check [settlement] url"
    return f"HTTP {status}"


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
    for rejection in answer.rejected[:5]:  # all of them are in the table `rejection`
        log.warning("profile_rejected", batch_id=frozen.batch_id, code=rejection.code)
