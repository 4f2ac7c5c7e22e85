"""The ways to tell somebody: a webhook, e-mail, and retained state on a broker."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog

from gateway.config import Notices, Smtp, read_secret, read_token
from gateway.errors import ConfigError, PublishLost, PublishRefused
from gateway.outages import notice_text
from gateway.outages.notices import Channel, NoticeFailed
from gateway.outages.outage_records import CLOSED

REQUEST_S, CONNECT_S = 20.0, 10.0
SMTP_S = 10.0  # for each step of the talk
RECIPIENTS_MAX = 20
PASSWORD_BYTES_MAX = 512
SIGNATURE_HEADER, ID_HEADER = "X-OpenLicznik-Signature", "Idempotency-Key"

_NEVER = {400, 410, 413, 415, 422}  # this notice will never be taken; others may
_RETRY_CODES = range(400, 500)  # SMTP: transient negative completion, RFC 5321 section 4.2.1

log = structlog.get_logger()


def signature(secret: bytes, body: bytes) -> str:
    """What SIGNATURE_HEADER carries: `sha256=` and HMAC-SHA256 of the body in hex (RFC 2104)."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


class Webhook:
    """POSTs each notice as JSON. Redirects are not followed; any 2xx is taken as heard."""

    name, events = "webhook", True

    def __init__(self, url: str, secret: str | None) -> None:
        self._url = url
        self._secret = secret.encode() if secret is not None else None

    def __repr__(self) -> str:
        return f"Webhook({self._url})"

    async def send(self, notice_id: str, body: dict[str, object]) -> None:
        """Raises NoticeFailed."""
        data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", ID_HEADER: notice_id}
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = signature(self._secret, data)
        timeout = aiohttp.ClientTimeout(total=REQUEST_S, sock_connect=CONNECT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self._url, data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoticeFailed(f"{type(error).__name__}: the webhook is not reached") from None
        if not 200 <= status < 300:
            raise NoticeFailed(f"HTTP {status} from the webhook", forever=status in _NEVER)


class MailBox:
    """Sends outages as e-mail in Polish and English; smtplib runs in a thread, time-bounded."""

    name, events = "mail", False

    def __init__(
        self,
        smtp: Smtp,
        password: str | None,
        context: ssl.SSLContext | None,
        clock_s: Callable[[], int],
        timeout_s: float = SMTP_S,
    ) -> None:
        if not 0 < len(smtp.recipients) <= RECIPIENTS_MAX:
            raise ConfigError(f'"notices.smtp.recipients": give 1 to {RECIPIENTS_MAX}')
        self._sender = _address(smtp.sender, "sender")
        self._recipients = [_address(each, "recipients") for each in smtp.recipients]
        if smtp.user is not None and smtp.tls == "off":
            raise ConfigError('"notices.smtp.user": a password needs tls = "starttls" or "tls"')
        self._smtp, self._context, self._timeout_s = smtp, context, timeout_s
        self._password, self._clock_s = password, clock_s

    def __repr__(self) -> str:
        return f"MailBox({self._smtp.host}:{self._smtp.port})"

    async def send(self, notice_id: str, body: dict[str, object]) -> None:
        """Raises NoticeFailed."""
        await asyncio.to_thread(self._send, self.message(notice_id, body))

    def message(self, notice_id: str, body: dict[str, object]) -> EmailMessage:
        """The e-mail; its Message-ID is the same in every attempt (RFC 5322 section 3.6.4)."""
        mail = notice_text.mail(body)
        message = EmailMessage()
        message["From"], message["To"] = self._sender, ", ".join(self._recipients)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._clock_s(), UTC))
        digest = hashlib.sha256(notice_id.encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{digest}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
        message.set_content(mail.text)
        return message

    def _send(self, message: EmailMessage) -> None:
        smtp = self._smtp
        try:
            with self._connect() as talk:
                if smtp.tls == "starttls":
                    talk.starttls(context=self._context)  # raises where it is not offered
                if smtp.user is not None:
                    talk.login(smtp.user, self._password or "")
                refused = talk.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise NoticeFailed(
                f"every recipient is refused: {sorted(codes)}",
                forever=not any(code in _RETRY_CODES for code in codes),
            ) from None
        except smtplib.SMTPAuthenticationError as error:
            raise NoticeFailed(f"SMTP {error.smtp_code}: check user and password_file") from None
        except smtplib.SMTPResponseException as error:
            raise NoticeFailed(
                f"SMTP {error.smtp_code}", forever=error.smtp_code not in _RETRY_CODES
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NoticeFailed(f"{type(error).__name__}: mail is not taken") from None
        if refused:
            log.error("recipients_refused", recipients=sorted(refused), next="correct the list")

    def _connect(self) -> smtplib.SMTP:
        smtp = self._smtp
        if smtp.tls == "tls":
            return smtplib.SMTP_SSL(
                smtp.host, smtp.port, timeout=self._timeout_s, context=self._context
            )
        return smtplib.SMTP(smtp.host, smtp.port, timeout=self._timeout_s)


def _address(text: str, key: str) -> str:
    """One bare address. Raises ConfigError; a line end in it could smuggle in headers."""
    if text.isprintable() and parseaddr(text) == ("", text) and "@" in text:
        try:
            return Address(addr_spec=text).addr_spec
        except (ValueError, IndexError):
            raise ConfigError(_bad_address(key)) from None
    raise ConfigError(_bad_address(key))


def _bad_address(key: str) -> str:
    return f'"notices.smtp.{key}": write an address as name@example.org'


class Publisher(Protocol):
    """What is used of gateway.mqtt_client.MqttClient."""

    async def publish(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Returns at the PUBACK. Raises PublishLost or PublishRefused."""


class MqttState:
    """Publishes the state of meters and areas, retained, and each event once, not retained."""

    name, events = "mqtt", True

    def __init__(self, client: Publisher, topic: str) -> None:
        self._client, self._topic = client, topic

    async def send(self, notice_id: str, body: dict[str, object]) -> None:
        """Raises NoticeFailed."""
        try:
            for topic, said, retain in self._publishes(body):
                data = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
                await self._client.publish(topic, data, qos=1, retain=retain)
        except PublishRefused as error:
            raise NoticeFailed(str(error), forever=True) from None
        except PublishLost:
            raise NoticeFailed("the broker's connection was lost") from None

    def _publishes(self, body: dict[str, object]) -> Sequence[tuple[str, dict[str, object], bool]]:
        if body["kind"] == "events":
            events = body["events"]
            assert isinstance(events, list)
            return [(f"{self._topic}/event/{each['meter_id']}", each, False) for each in events]
        state = {"state": "well" if body["what"] == CLOSED else "out"} | body
        if body["kind"] == "area_outage":
            return [(f"{self._topic}/outage/area/{body['area']}", state, True)]
        return [(f"{self._topic}/outage/meter/{body['meter_id']}", state, True)]


def channels_of(
    config: Notices, client: Publisher | None, topic: str, clock_s: Callable[[], int]
) -> list[Channel]:
    """The channels of [notices], `client` and `topic` those of [publish]. Raises ConfigError."""
    channels: list[Channel] = []
    if config.webhook_url is not None:
        secret_file = config.webhook_token_file
        secret = read_token(Path(secret_file)) if secret_file is not None else None
        channels.append(Webhook(_check_url(config.webhook_url), secret))
    smtp = config.smtp
    if smtp is not None:
        password = None if smtp.password_file is None else _password(Path(smtp.password_file))
        context = None
        if smtp.tls != "off":
            context = _context(smtp.ca_file)
        channels.append(MailBox(smtp, password, context, clock_s))
    if config.mqtt:
        if client is None:
            raise ConfigError('"notices.mqtt": needs the broker of a section [publish]')
        channels.append(MqttState(client, topic))
    return channels


def _password(path: Path) -> str:
    """One line of printable text. Raises ConfigError; what is in the file is in no message."""
    try:
        said = read_secret(path, PASSWORD_BYTES_MAX).decode().removesuffix("\n")
    except UnicodeDecodeError:
        said = ""
    if not said or not said.isprintable():
        raise ConfigError(f"{path}: write the mail server's password as one line of text")
    return said


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f'"notices.smtp.ca_file": cannot be used: {error.strerror}') from None


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigError('"notices.webhook_url": must be http(s)://host/path without user')
    return url
