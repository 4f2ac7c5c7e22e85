"""What to send next and what a receipt settles: a state machine without any I/O."""

from collections import namedtuple

from firmware import commands
from firmware.backoff import Backoff
from firmware.rekey import Rekey
from firmware.waiting import ANSWERS_MAX, EVENT, ORDER, PROFILE, Waiting
from wire import frame, messages, topics
from wire.errors import Malformed, Replayed, WireError, WrongTopic
from wire.keys import DOWN, UP
from wire.messages import Command, Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.journal import Journal
    from firmware.keystore import Keystore

OFFLINE = "offline"  # no link to the gateway
GREETING = "greeting"  # linked: a status goes first
AWAITING = "awaiting"  # sent: until the receipt comes
READY = "ready"  # nothing in flight: the next frame may go
BACKING_OFF = "backing_off"  # no receipt came: wait before sending again

RECEIPT_WAIT_MS = 10_000
RESEND_BASE_MS = 2_000
RESEND_MAX_MS = 300_000
RESTART_GRACE_MS = 60_000  # a restart waits so long for its result's receipt

# (state, what happens) -> state. docs/firmware.md shows this table; a test compares them.
TABLE = {
    (OFFLINE, "link_up"): GREETING,
    (OFFLINE, "receipt"): OFFLINE,  # it was under way when the link broke: still true
    (GREETING, "sent"): AWAITING,
    (GREETING, "receipt"): GREETING,
    (GREETING, "link_down"): OFFLINE,
    (AWAITING, "receipt"): READY,
    (AWAITING, "late"): BACKING_OFF,
    (AWAITING, "new_key"): GREETING,
    (AWAITING, "link_down"): OFFLINE,
    (READY, "sent"): AWAITING,
    (READY, "receipt"): READY,
    (READY, "new_key"): GREETING,
    (READY, "link_down"): OFFLINE,
    (BACKING_OFF, "receipt"): READY,
    (BACKING_OFF, "command"): READY,  # the gateway is there and wants an answer
    (BACKING_OFF, "new_key"): GREETING,
    (BACKING_OFF, "rested"): READY,
    (BACKING_OFF, "rested_timeless"): GREETING,
    (BACKING_OFF, "rested_amid_rekey"): GREETING,  # one of two keys must be heard
    (BACKING_OFF, "link_down"): OFFLINE,
}

STATUS, URGENT = "status", "urgent"  # kinds of frames beside firmware.waiting.ORDER

# kind: one of the above; first: interval or event number; count: intervals inside
Outgoing = namedtuple("Outgoing", ("kind", "frame_counter", "frame", "first", "count"))


class Uplink:
    """One meter's talk with its gateway. Time comes in as ticks, chance as rng.

    `status` is called for the greeting and gives a wire.messages.Status. `events` is the event log,
    `uptime_s` gives the seconds since the start that its events were noted with, `meter` is what
    commands may do (firmware.commands.Controls); without it every command is unsupported.
    `waiting.dating` (firmware.dating.Dating) may be set once it is there. Frames that cannot be
    taken are counted in `refused` by reason. Raises KeystoreError, FlashWorn.
    """

    def __init__(
        self,
        settings,
        keystore: "Keystore",
        journal: "Journal",
        clock,
        rng,
        status,
        events=None,
        uptime_s=None,
        meter=None,
    ) -> None:
        self._keystore = keystore
        self._keys = Rekey(settings, keystore)
        self._journal = journal
        self._clock = clock
        self._status = status
        self._backoff = Backoff(RESEND_BASE_MS, RESEND_MAX_MS, rng)
        self.waiting = Waiting(journal, events, clock.now_s, uptime_s)
        self.answer = self.waiting.answer
        self._context = commands.Context(settings, keystore, meter, self.waiting.read_profile)
        self.up_topic = topics.up(settings.meter_id)
        self.down_topic = topics.down(settings.meter_id)
        self.state = OFFLINE
        self.refused: dict[str, int] = {}
        self.unheard = 0  # frames in a row that were acknowledged and brought no receipt at all
        self._urgent: Any = None
        self._unsure = False  # an urgent frame went, which nobody waits for
        self._flight: Outgoing | None = None  # sent last, not receipted yet
        self._heard = False  # a receipt came since then
        self._late = ""  # the kind that was late: others go before it is tried again
        self._restart = 0  # 0: not asked for, 1: once the result is receipted, 2: now
        self._restart_ms = 0
        self._since_ms = 0
        self._wait_ms = 0
        journal.settled = keystore.settled

    # -------------------------------------------------------------- the link

    def link_up(self) -> None:
        """The gateway is reached and the down topic subscribed."""
        self._keystore.leave_gap()
        self._go("link_up")

    def link_down(self) -> None:
        """The link broke; whatever was in flight is sent again later."""
        self._urgent = None
        if self.state != OFFLINE:
            self._go("link_down")

    def urgent(self, event: "Any") -> bool:
        """Send this event next, whatever is in flight, and once. False while there is no link."""
        if self.state == OFFLINE:
            return False
        self._urgent = event
        return True

    def restart_due(self) -> bool:
        """True when a restart was asked for and receipted, or RESTART_GRACE_MS have passed."""
        if self._restart != 1:
            return self._restart == 2
        passed_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._restart_ms)
        return passed_ms >= RESTART_GRACE_MS

    # -------------------------------------------------------------- sending

    def next_frame(self) -> "Outgoing | None":
        """The frame to publish now, or None. Call `sent` once it is acknowledged."""
        self._pass_time()
        if self._urgent is not None:
            return self._seal(URGENT, self._urgent)
        if self.state == GREETING:
            return self._seal(STATUS, self._status())
        if self.state != READY:
            return None
        for kind in ORDER:
            if kind != self._late:
                outgoing = self._next_of(kind)
                if outgoing is not None:
                    return outgoing
        return self._next_of(self._late) if self._late in ORDER else None

    def sent(self, outgoing: Outgoing) -> None:
        """The gateway has acknowledged this frame (PUBACK): now its receipt is awaited."""
        if outgoing.kind == URGENT:
            self._urgent = None
            self._unsure = True
            return
        self._flight = outgoing
        self._heard = False
        self._late = ""
        self._since_ms = self._clock.ticks_ms()
        self._wait_ms = RECEIPT_WAIT_MS
        self._go("sent")

    def _next_of(self, kind: str) -> "Outgoing | None":
        found = self.waiting.next(kind)
        return None if found is None else self._seal(kind, found[0], found[1], found[2])

    def _seal(self, kind: str, message: "Any", first: int = 0, count: int = 0) -> Outgoing:
        key = self._keys.sealing()
        if self._unsure and kind != URGENT:
            self._keystore.leave_gap()
            self._unsure = False
        counter = self._keystore.next_counter()  # every sending has its own, also a repeat
        sealed = frame.seal(key, UP, counter, self.up_topic, messages.encode(message))
        return Outgoing(kind, counter, sealed, first, count)

    def _pass_time(self) -> None:
        if self.state not in (AWAITING, BACKING_OFF):
            return
        now_ms = self._clock.ticks_ms()
        if self._clock.ticks_diff(now_ms, self._since_ms) < self._wait_ms:
            return
        if self.state == AWAITING:
            self._lapse(now_ms)
        elif self._clock.now_s() is None:
            self._go("rested_timeless")
        elif self._keys.under_way():
            self._go("rested_amid_rekey")
        else:
            self._go("rested")

    def _lapse(self, now_ms: int) -> None:
        """The frame in flight was not receipted in time."""
        assert self._flight is not None
        self._late = self._flight.kind
        self._keystore.leave_gap()
        self._since_ms = now_ms
        self._wait_ms = self._backoff.next_ms()
        self._go("late")
        if not self._heard:
            self.unheard += 1
            if self._keys.unheard(self.unheard):
                self._use_new_key()

    # -------------------------------------------------------------- receiving

    def receive(self, topic: str, data: bytes) -> "Any":
        """Open a frame from the gateway; gives the message, or None when it was refused."""
        try:
            header, message = self._open(topic, data)
        except WireError as refusal:
            self._count(refusal.reason)
            return None
        if self._keys.opened(header.key_epoch):
            self._use_new_key()
        covered = type(message) is Receipt and self._settle(message, header.key_epoch)
        flight: Any = self._flight
        event = flight.first if covered and flight.kind == EVENT else 0
        settled = self._journal.settled
        self._keystore.heard(header.frame_counter, settled, event, header.key_epoch)
        if covered:
            self._free()
        elif type(message) is Command:
            self._obey(message)
        return message

    def _open(self, topic: str, data: bytes):
        if topic != self.down_topic:
            raise WrongTopic("not this meter's down topic")
        header = frame.peek(data)
        if header.direction != DOWN:
            raise Malformed("this frame travels up")
        key = self._keys.opening(header.key_epoch)
        if not self._keystore.is_new(header.frame_counter, header.key_epoch):
            raise Replayed("this frame counter was heard before")
        message = frame.open(key, data, topic, header)
        return header, messages.decode(message, DOWN)

    def _settle(self, receipt: Receipt, key_epoch: int) -> bool:
        """Take in what is committed. True when that is true of the frame in flight."""
        try:
            self._journal.settle(receipt.interval)
        except ValueError:
            self._count("beyond_journal")
        if key_epoch != self._keystore.key_epoch:
            return False
        self._heard = True
        self.unheard = 0
        flight = self._flight
        if flight is None or flight.kind == STATUS:
            return flight is not None
        if flight.kind == PROFILE:
            return self._journal.settled >= flight.first + flight.count - 1
        if self._unsure:
            return False  # an urgent frame that arrived would speak for one that did not
        return self._keystore.covers(receipt.frame_counter, flight.frame_counter)

    def _free(self) -> None:
        """The frame in flight is committed: what it said need not be kept any longer."""
        flight, self._flight = self._flight, None
        assert flight is not None
        self._backoff.reset()
        self._go("receipt")
        follows = self.waiting.free(flight.kind, flight.first, flight.count)
        if follows == commands.RESTART:
            self._restart = 2
        elif follows == commands.SWITCH_KEY and self._keys.begin():
            self._use_new_key()

    def _use_new_key(self) -> None:
        """Frames go under the other key from now on; what is in flight goes again."""
        self._flight = None
        self.unheard = 0
        self._keystore.leave_gap()
        self._backoff.reset()
        if self.state not in (OFFLINE, GREETING):
            self._go("new_key")

    def _obey(self, command: Command) -> None:
        """Carry out a command, unless its answer would find no place; it will come again then."""
        if self.state == BACKING_OFF:
            self._go("command")
        for message, _ in self.waiting.answers:
            if type(message) is messages.Result and message.command_id == command.command_id:
                return  # its answer waits already
        if len(self.waiting.answers) >= ANSWERS_MAX:
            self._count("too_many_commands")
            return
        answers, follows = commands.answer(command, self._context)
        if len(self.waiting.answers) + len(answers) > ANSWERS_MAX:
            self._count("too_many_commands")
            return
        for message in answers:
            self.answer(message, follows)
        if follows == commands.RESTART and not self._restart:
            self._restart = 1
            self._restart_ms = self._clock.ticks_ms()

    def _count(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _go(self, event: str) -> None:
        self.state = TABLE[(self.state, event)]
