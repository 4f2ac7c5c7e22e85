"""Outage notices by e-mail: what they say in two languages, and every way a server can fail."""

from __future__ import annotations

import asyncio
import email
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from gateway.config import Notices, Smtp
from gateway.errors import ConfigError
from gateway.outages import notice_text
from gateway.outages.notice_channels import PASSWORD_BYTES_MAX, RECIPIENTS_MAX, MailBox, channels_of
from gateway.outages.notices import NoticeFailed
from tests.support.certificates import a_ca, a_context, a_gateway
from tests.support.gateway import NOW_S

PASSWORD = "correct-horse-battery-staple"
OUTAGE: dict[str, object] = {
    "notice_id": "gw-1/outage/7/closed", "kind": "outage", "what": "closed", "area": "Wola",
    "meter_id": "0011223344556677", "cause": "last_gasp", "began_s": NOW_S,
    "ended_s": NOW_S + 300, "duration_s": 300, "confirmed": True,
}  # fmt: skip
AREA: dict[str, object] = {
    "notice_id": "gw-1/area_outage/3/opened", "kind": "area_outage", "what": "opened",
    "area": "Łódź Górna", "began_s": NOW_S, "ended_s": None, "duration_s": None, "meters": 42,
    "meters_back": 0, "why": "area",
}  # fmt: skip


class Post:
    """A mail server's mind: keeps what it takes, answers as `mood` says."""

    def __init__(self, rcpt: str = "250 OK", data: str = "250 OK") -> None:
        self.rcpt, self.data = rcpt, data
        self.taken: list[tuple[bool, Any]] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=default)
        self.taken.append((session.ssl is not None, message))
        return self.data


@contextmanager
def a_post_office(post: Post, **options: Any) -> Iterator[int]:
    """A mail server on loopback; the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    controller = Controller(post, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For the server and for the client that believes it."""
    ca = a_ca()
    root = folder / "ca.pem"
    root.write_bytes(ca.pem())
    mine = a_context(a_gateway(ca, "localhost"), folder)
    return mine, ssl.create_default_context(cafile=str(root))


def a_mailbox(port: int, context: ssl.SSLContext | None = None, **changes: Any) -> MailBox:
    tls = changes.pop("tls", "off")
    password = changes.pop("password", None)
    timeout_s = changes.pop("timeout_s", 5.0)
    smtp = Smtp(
        host="localhost", port=port, sender="gateway@example.org", tls=tls,
        **({"recipients": ("anna@example.org",)} | changes),
    )  # fmt: skip
    return MailBox(smtp, password, context, lambda: NOW_S, timeout_s)


def send(mailbox: MailBox, body: dict[str, object] = OUTAGE) -> None:
    asyncio.run(mailbox.send(str(body["notice_id"]), body))


def failure_of(mailbox: MailBox) -> NoticeFailed:
    with pytest.raises(NoticeFailed) as failure:
        send(mailbox)
    return failure.value


# -- what it says


def test_a_notice_is_readable_in_polish_and_in_english() -> None:
    post = Post()
    with a_post_office(post) as port:
        send(a_mailbox(port))
    ((_, message),) = post.taken
    assert message["Subject"] == (
        "Koniec: Licznik 0011223344556677 bez zasilania"
        " / Over: meter 0011223344556677 without supply"
    )
    text = message.get_content()
    assert "czas trwania: 300 s" in text
    assert "lasted: 300 s" in text
    assert "przyczyna: licznik zgłosił utratę zasilania" in text
    assert "began: 2025-10-09 08:53:20 UTC" in text
    assert "gw-1/outage/7/closed" in text
    assert (message["From"], message["To"]) == ("gateway@example.org", "anna@example.org")
    assert message["Auto-Submitted"] == "auto-generated"


def test_an_area_outage_says_how_many_meters_and_our_own_line_is_named_so() -> None:
    mail = notice_text.mail(AREA)
    assert mail.subject == (
        "Łódź Górna: brak zasilania, liczników: 42 / Łódź Górna: 42 meters without supply"
    )
    ours = notice_text.mail(AREA | {"why": "gateway_unreached"})
    assert ours.subject == (
        "Brak łączności, liczników: 42 (łącze bramki)"
        " / 42 meters unreached (the gateway's own line)"
    )


def test_every_attempt_has_the_same_message_id() -> None:
    mailbox = a_mailbox(25)
    ids = {mailbox.message("gw-1/outage/7/closed", OUTAGE)["Message-ID"] for _ in range(2)}
    other = mailbox.message("gw-1/outage/8/closed", OUTAGE)["Message-ID"]
    assert len(ids) == 1
    assert other not in ids


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\x85", "\u2028"])
def test_no_name_can_smuggle_a_header_into_the_mail(end: str) -> None:
    area = f"Wola{end}Bcc: eve@example.org"
    message: EmailMessage = a_mailbox(25).message("x", AREA | {"area": area})
    assert message["Bcc"] is None
    assert message["Subject"].isprintable()


@pytest.mark.parametrize("address", ["a@b\nBcc: c@d", "Anna <a@b>", "a@b, c@d", "nobody", ""])
def test_an_address_that_is_more_than_one_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"notices\.smtp\.recipients"):
        a_mailbox(25, recipients=(address,))
    with pytest.raises(ConfigError, match=r"notices\.smtp\.sender"):
        smtp = Smtp(host="127.0.0.1", sender=address, recipients=("a@b.org",))
        MailBox(smtp, None, None, lambda: NOW_S)


@pytest.mark.parametrize(("count", "good"), [(0, False), (RECIPIENTS_MAX, True), (21, False)])
def test_the_number_of_recipients_is_bounded(count: int, good: bool) -> None:
    recipients = tuple(f"a{number}@example.org" for number in range(count))
    if good:
        assert a_mailbox(25, recipients=recipients)
        return
    with pytest.raises(ConfigError, match="1 to 20"):
        a_mailbox(25, recipients=recipients)


# -- the talk with the server


def test_the_talk_is_in_tls_and_the_password_goes_inside_it(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    seen: list[tuple[bool, bytes]] = []

    def judge(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        seen.append((session.ssl is not None, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    post = Post()
    options = {"tls_context": server, "authenticator": judge, "auth_required": True}
    with a_post_office(post, **options) as port:
        send(a_mailbox(port, client, tls="starttls", user="gw", password=PASSWORD))
        wrong = failure_of(a_mailbox(port, client, tls="starttls", user="gw", password="wrong"))
    assert [is_tls for is_tls, _ in post.taken] == [True]
    assert seen[0] == (True, PASSWORD.encode())
    assert (wrong.why, wrong.forever) == ("SMTP 535: check user and password_file", False)


def test_a_server_that_offers_no_starttls_gets_no_mail(tmp_path: Path) -> None:
    post = Post()
    with a_post_office(post) as port:
        failure = failure_of(a_mailbox(port, ssl.create_default_context(), tls="starttls"))
    assert failure.why == "SMTPNotSupportedError: mail is not taken"
    assert post.taken == []


def test_a_server_whose_certificate_nobody_vouches_for_gets_no_mail(tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    post = Post()
    with a_post_office(post, tls_context=server) as port:
        failure = failure_of(a_mailbox(port, ssl.create_default_context(), tls="starttls"))
    assert failure.why == "SSLCertVerificationError: mail is not taken"
    assert post.taken == []


def test_a_password_is_never_sent_in_clear() -> None:
    with pytest.raises(ConfigError, match="starttls"):
        a_mailbox(25, user="gw", password=PASSWORD, tls="off")


@pytest.mark.parametrize(
    ("post", "why", "forever"),
    [
        (Post(rcpt="550 no such user"), "every recipient is refused: [550]", True),
        (Post(rcpt="451 grey-listed"), "every recipient is refused: [451]", False),
        (Post(data="554 spam"), "SMTP 554", True),
        (Post(data="452 full"), "SMTP 452", False),
    ],
)
def test_what_the_server_refuses_for_good_is_not_tried_again(
    post: Post, why: str, forever: bool
) -> None:
    with a_post_office(post) as port:
        failure = failure_of(a_mailbox(port))
    assert (failure.why, failure.forever) == (why, forever)


def test_a_server_that_is_not_there_is_a_failed_attempt() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        failure = failure_of(a_mailbox(probe.getsockname()[1]))
    assert (failure.why, failure.forever) == ("ConnectionRefusedError: mail is not taken", False)


@pytest.mark.parametrize("bytes_first", [b"", b"220 hello\r\n", b"nonsense\r\n"])
def test_a_server_that_falls_silent_is_given_up_in_time(bytes_first: bytes) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        threading.Thread(target=_greet, args=(server, bytes_first), daemon=True).start()
        failure = failure_of(a_mailbox(server.getsockname()[1], timeout_s=0.2))
    assert not failure.forever or bytes_first == b"nonsense\r\n"


def _greet(server: socket.socket, data: bytes) -> None:
    line, _ = server.accept()
    with line:
        line.sendall(data)
        line.settimeout(2)
        while line.recv(100):
            continue


def test_the_password_is_in_no_repr() -> None:
    mailbox = a_mailbox(25, user="gw", password=PASSWORD, tls="starttls")
    assert PASSWORD not in repr(mailbox)


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (b"short one\n", True),
        (b"p" * PASSWORD_BYTES_MAX, True),
        (b"p" * (PASSWORD_BYTES_MAX + 1), False),
        (b"", False),
        (b"two\nlines\n", False),
        (b"\xff\xfe", False),
    ],
)
def test_the_mail_servers_password_is_one_line_from_a_file_of_the_owner(
    tmp_path: Path, content: bytes, good: bool
) -> None:
    path = tmp_path / "smtp.password"
    path.write_bytes(content)
    path.chmod(0o600)
    smtp = Smtp(
        host="localhost", sender="a@b.org", recipients=("a@b.org",), user="gw",
        password_file=str(path),
    )  # fmt: skip
    config = Notices(smtp=smtp)
    if good:
        (mailbox,) = channels_of(config, None, "", lambda: NOW_S)
        assert mailbox.name == "mail"
        path.chmod(0o644)
    with pytest.raises(ConfigError):
        channels_of(config, None, "", lambda: NOW_S)
