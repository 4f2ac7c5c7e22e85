"""Everything that can stop pairing; `reason` is its name, the text ends with what to do next."""

from __future__ import annotations


class PairingError(Exception):
    """Printed as one line: `reason: text`. Never holds a secret."""

    reason = "pairing_failed"


class BadIdentity(PairingError):
    """An identity, or what should be one, is not usable."""

    reason = "bad_identity"


class BadInput(PairingError):
    """A file, an option or a line of a table is not as it must be: correct it and repeat."""

    reason = "bad_input"


class ExposedSecret(PairingError):
    """A file with a secret can be read by others: `chmod 600` it."""

    reason = "exposed_secret"


class WrongLabel(PairingError):
    """A serial or a code was mistyped, or is another meter's: read the label again."""

    reason = "wrong_label"


class DamagedAudit(PairingError):
    """The audit log is not as it was written: keep the file, begin another state folder."""

    reason = "damaged_audit"


class InsecureAddress(PairingError):
    """A token must not travel in clear: use https, or work on the service's own machine."""

    reason = "insecure_address"


class ServiceUnreachable(PairingError):
    """The service does not answer: check its address, and that it runs."""

    reason = "service_unreachable"


class ServiceRefused(PairingError):
    """The service refused; `problem` is its name there, `status` the HTTP status."""

    reason = "service_refused"
    service = "the service"

    def __init__(self, status: int, problem: str, detail: str) -> None:
        super().__init__(f"{self.service} says {problem}: {detail}")
        self.status, self.problem = status, problem


class GatewayUnreachable(ServiceUnreachable):
    """The gateway's admin interface does not answer: check its address, and that it runs."""

    reason = "gateway_unreachable"


class GatewayRefused(ServiceRefused):
    """The gateway's admin interface refused."""

    reason = "gateway_refused"
    service = "the gateway"


class SettlementUnreachable(ServiceUnreachable):
    """Settlement does not answer: check its address, and that it runs."""

    reason = "settlement_unreachable"


class SettlementRefused(ServiceRefused):
    """Settlement refused."""

    reason = "settlement_refused"
    service = "settlement"


class AnotherTechnician(PairingError):
    """Somebody else is at this meter: talk to them, or take over with --take-over."""

    reason = "another_technician"


class AlreadyPaired(PairingError):
    """The board carries a meter already: repair, move or decommission it."""

    reason = "already_paired"


class NotPaired(PairingError):
    """There is no meter on the board, or not the one that was named: pair it first."""

    reason = "not_paired"


class NotReady(PairingError):
    """What is on the port is not a board that can be paired; the text says what it is."""

    reason = "not_ready"


class ReadBackDiffers(PairingError):
    """The device does not hold what was written: run it again; a second time, change the board."""

    reason = "read_back_differs"


class NoReading(PairingError):
    """No authenticated reading came in time; the text says what the gateway saw instead."""

    reason = "no_reading"


class KeyRefused(PairingError):
    """A meter did not take its new key: the text says why and what to do."""

    reason = "key_refused"


class SealedForAnother(PairingError):
    """A queued registration does not open: another gateway's, or altered; give the right key."""

    reason = "sealed_for_another"


class NotRegistered(PairingError):
    """The gateway does not know the meter yet: take the queue there and run `offline sync`."""

    reason = "not_registered"


class Conflict(PairingError):
    """A registration and what the gateway has contradict each other; `reason` says how."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
