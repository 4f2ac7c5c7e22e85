"""Every way in which bytes from the wire can be refused; the docstring says what to do next."""


class WireError(Exception):
    """Bytes were refused. `reason` is the short name under which refusals are counted."""

    reason = "wire_error"


class Malformed(WireError):
    """The bytes are not what wire.cddl describes: check the sender's firmware version."""

    reason = "malformed"


class TooLarge(WireError):
    """A limit of the wire was passed: send less in one frame."""

    reason = "too_large"


class Unsupported(WireError):
    """Well formed, but of a kind this program does not know: update the older of the two."""

    reason = "unsupported"


class WrongTopic(WireError):
    """The topic is not one of this meter's: check meter id and shard in the meter's config."""

    reason = "wrong_topic"


class UnknownMeter(WireError):
    """No such meter in the registry: pair it first."""

    reason = "unknown_meter"


class UnknownEpoch(WireError):
    """The frame names a key epoch that is not in force: pair the meter again."""

    reason = "unknown_epoch"


class BadTag(WireError):
    """The seal does not hold: wrong meter key, wrong topic, or the frame was altered."""

    reason = "bad_tag"


class Replayed(WireError):
    """The frame counter is older than the window: an old frame was sent again."""

    reason = "replayed"
