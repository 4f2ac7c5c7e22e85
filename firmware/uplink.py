"""What to send next and what a receipt settles: a state machine without any I/O."""

from collections import namedtuple

from firmware import commands, load_profile
from firmware.backoff import Backoff
from wire import frame, messages, topics
from wire.errors import Malformed, Replayed, WireError, WrongTopic
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Command, Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.journal import Journal
    from firmware.keystore import Keystore

OFFLINE = "offline"  # no link to the gateway
GREETING = "greeting"  # linked: a status goes first
AWAITING = "awaiting"  # sent: until the receipt comes
READY = "ready"  # nothing in flight: the next intervals may go
BACKING_OFF = "backing_off"  # no receipt came: wait before sending again

RECEIPT_WAIT_MS = 10_000
RESEND_BASE_MS = 2_000
RESEND_MAX_MS = 300_000
ANSWERS_MAX = 4  # results and events that wait to be sent

# (state, what happens) -> state. docs/firmware.md shows this table; a test compares them.
TABLE = {
    (OFFLINE, "link_up"): GREETING,
    (OFFLINE, "receipt"): OFFLINE,  # it was under way when the link broke: still true
    (GREETING, "sent"): AWAITING,
    (GREETING, "receipt"): GREETING,
    (GREETING, "link_down"): OFFLINE,
    (AWAITING, "receipt"): READY,
    (AWAITING, "late"): BACKING_OFF,
    (AWAITING, "link_down"): OFFLINE,
    (READY, "sent"): AWAITING,
    (READY, "receipt"): READY,
    (READY, "link_down"): OFFLINE,
    (BACKING_OFF, "receipt"): READY,
    (BACKING_OFF, "rested"): READY,
    (BACKING_OFF, "rested_timeless"): GREETING,
    (BACKING_OFF, "link_down"): OFFLINE,
}

# kind: "status", "profile" or "answer"; count: intervals inside
Outgoing = namedtuple("Outgoing", ("kind", "frame_counter", "frame", "first", "count"))


class Uplink:
    """One meter's talk with its gateway. Time comes in as ticks, chance as rng.

    `status` is called for the greeting and gives a wire.messages.Status. Frames that cannot be
    taken are counted in `refused` by reason.
    """

    def __init__(self, config, keystore: "Keystore", journal: "Journal", clock, rng, status):
        self._key = EpochKey(config.key_epoch, config.meter_key)
        self._keystore = keystore
        self._journal = journal
        self._clock = clock
        self._status = status
        self._backoff = Backoff(RESEND_BASE_MS, RESEND_MAX_MS, rng)
        self.up_topic = topics.up(config.meter_id)
        self.down_topic = topics.down(config.meter_id)
        self.state = OFFLINE
        self.refused: dict[str, int] = {}
        self.unheard = 0  # frames in a row that were acknowledged and never receipted
        self.answers: list[Any] = []
        self._awaited = 0  # interval that a receipt must cover; 0: any receipt will do
        self._since_ms = 0
        self._wait_ms = 0
        journal.settled = keystore.settled

    # -------------------------------------------------------------- the link

    def link_up(self) -> None:
        """The gateway is reached and the down topic subscribed."""
        self._go("link_up")

    def link_down(self) -> None:
        """The link broke; whatever was in flight is sent again later."""
        if self.state != OFFLINE:
            self._go("link_down")

    # -------------------------------------------------------------- sending

    def next_frame(self) -> "Outgoing | None":
        """The frame to publish now, or None. Call `sent` once it is acknowledged."""
        self._pass_time()
        if self.state == GREETING:
            return self._seal("status", self._status(), 0, 0)
        if self.state in (READY, AWAITING) and self.answers:
            return self._seal("answer", self.answers[0], 0, 0)
        if self.state != READY:
            return None
        profile = load_profile.next_profile(self._journal, self._journal.settled + 1)
        if profile is None:
            return None
        return self._seal("profile", profile, profile.first, messages.profile_intervals(profile))

    def sent(self, outgoing: Outgoing) -> None:
        """The gateway has acknowledged this frame (PUBACK): now its receipt is awaited."""
        if outgoing.kind == "answer":
            self.answers.pop(0)
            return
        self._awaited = outgoing.first + outgoing.count - 1 if outgoing.count else 0
        self._since_ms = self._clock.ticks_ms()
        self._wait_ms = RECEIPT_WAIT_MS
        self._go("sent")

    def answer(self, message: "Any") -> bool:
        """Queue a result or an event; False when ANSWERS_MAX wait already."""
        if len(self.answers) >= ANSWERS_MAX:
            return False
        self.answers.append(message)
        return True

    def _seal(self, kind: str, message: "Any", first: int, count: int) -> Outgoing:
        counter = self._keystore.next_counter()  # every sending has its own, also a repeat
        sealed = frame.seal(self._key, UP, counter, self.up_topic, messages.encode(message))
        return Outgoing(kind, counter, sealed, first, count)

    def _pass_time(self) -> None:
        if self.state not in (AWAITING, BACKING_OFF):
            return
        now_ms = self._clock.ticks_ms()
        if self._clock.ticks_diff(now_ms, self._since_ms) < self._wait_ms:
            return
        if self.state == AWAITING:
            self._since_ms = now_ms
            self._wait_ms = self._backoff.next_ms()
            self.unheard += 1
            self._go("late")
        elif self._clock.now_s() is None:
            self._go("rested_timeless")
        else:
            self._go("rested")

    # -------------------------------------------------------------- receiving

    def receive(self, topic: str, data: bytes) -> "Any":
        """Open a frame from the gateway; gives the message, or None when it was refused."""
        try:
            header, message = self._open(topic, data)
        except WireError as refusal:
            self._count(refusal.reason)
            return None
        if type(message) is Receipt:
            self._settle(message.interval)
        self._keystore.heard(header.frame_counter, self._journal.settled)
        if type(message) is Receipt:
            self._receipted()
        elif type(message) is Command and not self.answer(commands.answer(message)):
            self._count("too_many_commands")
        return message

    def _open(self, topic: str, data: bytes):
        if topic != self.down_topic:
            raise WrongTopic("not this meter's down topic")
        header = frame.peek(data)
        if header.direction != DOWN:
            raise Malformed("this frame travels up")
        if not self._keystore.is_new(header.frame_counter):
            raise Replayed("this frame counter was heard before")
        message = frame.open(self._key, data, topic, header)
        return header, messages.decode(message, DOWN)

    def _settle(self, number: int) -> None:
        try:
            self._journal.settle(number)
        except ValueError:
            self._count("beyond_journal")

    def _receipted(self) -> None:
        if self._journal.settled >= self._awaited:
            self._backoff.reset()
            self.unheard = 0
            self._go("receipt")

    def _count(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _go(self, event: str) -> None:
        self.state = TABLE[(self.state, event)]


def table_as_text() -> str:
    """The state table as docs/firmware.md has it."""
    lines = ["| state | what happens | next state |", "|---|---|---|"]
    for (state, event), following in TABLE.items():
        lines.append("| " + state + " | " + event + " | " + following + " |")
    return "\n".join(lines)
