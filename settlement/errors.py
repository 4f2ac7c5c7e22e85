"""What the service refuses beyond the rules: requests, points, invoices and configuration."""

from __future__ import annotations


class RequestRefused(Exception):
    """A request was refused. `status` is its HTTP status, `reason` the short name in the body."""

    status = 400
    reason = "bad_request"


class MissingKey(RequestRefused):
    """The Idempotency-Key header is missing."""

    reason = "missing_idempotency_key"


class BadKey(RequestRefused):
    """The Idempotency-Key is empty, too long or holds odd characters."""

    reason = "bad_idempotency_key"


class KeyReused(RequestRefused):
    """The same key came with another body."""

    status = 422
    reason = "idempotency_key_reused"


class BodyTooLarge(RequestRefused):
    """The body passes its limit, before or after decompression."""

    status = 413
    reason = "too_large"


class BadEncoding(RequestRefused):
    """The Content-Encoding is none of those spoken here."""

    status = 415
    reason = "bad_encoding"


class MalformedBody(RequestRefused):
    """The body is not what the interface describes."""

    reason = "malformed"


class Unauthorized(RequestRefused):
    """The bearer token is missing or wrong."""

    status = 401
    reason = "unauthorized"


class UnknownPoint(RequestRefused):
    """No metering point of this number: put it first."""

    status = 404
    reason = "unknown_point"


class UnknownInvoice(RequestRefused):
    """The point has no invoice of this number."""

    status = 404
    reason = "unknown_invoice"


class MeterTaken(RequestRefused):
    """The meter measures another point at that time."""

    status = 409
    reason = "meter_taken"


class InvoiceOverlaps(RequestRefused):
    """Another invoice already bills a day of this period."""

    status = 409
    reason = "invoice_overlaps"


class OutOfOrder(RequestRefused):
    """A prosumer's days are billed in order, since storage and deposit go from one to the next."""

    status = 409
    reason = "out_of_order"


class NothingToEstimate(RequestRefused):
    """No interval of the month is missing, or no meter measured the point in it."""

    status = 409
    reason = "nothing_to_estimate"


class WrongHost(RequestRefused):
    """The page was asked for under a host name that is not this computer's (DNS rebinding)."""

    status = 421
    reason = "wrong_host"


class ConfigError(Exception):
    """The configuration cannot be used. The message names the key and what to do; exit code 2."""


class StartError(Exception):
    """The service cannot start, though its configuration is fine; exit code 1."""


class UsageError(Exception):
    """A command was used wrongly. The message says how to use it; exit code 2."""
