"""`run --check-config`: everything that can be wrong, found without starting; all of it at once."""

from __future__ import annotations

import os
import re
import sqlite3
import ssl
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gateway import config as config_file
from gateway import registry, store
from gateway.admin import tokens
from gateway.admin.http_address import check_http
from gateway.config import Config, Endpoint, Http
from gateway.doors import tls
from gateway.errors import ConfigError, GatewayError
from gateway.master_key import master_keys
from gateway.mqtt.remote import remote_of
from gateway.outages.notice_channels import channels_of
from gateway.shards import shards

PROBLEMS_MAX = 50
FILE_BYTES_MAX = 1024 * 1024  # of a certificate file with its chain

_AT = re.compile(r"at `\$\.?(.*?)`$")
_FIELD = re.compile(r"field `(.*?)`")


def problems(path: Path) -> list[str]:
    """Every mistake in one line each; none means that the gateway can start on this."""
    try:
        config = config_file.load(path)
    except ConfigError as error:
        return _every_key(path) or [str(error)]
    found = []
    for checks, whole in _sections(config, int(time.time())):
        found += _complaints(checks) or _complaints([whole])
    return found


def _complaints(checks: Iterable[Callable[[], object]]) -> list[str]:
    found = []
    for check in checks:
        try:
            check()
        except GatewayError as error:
            found.append(str(error))
    return found


def _every_key(path: Path) -> list[str]:
    """What is wrong with the keys: each wrong one is named and taken out, then the rest is read."""
    try:
        data = tomllib.loads(config_file.read_bounded(path, config_file.CONFIG_BYTES_MAX).decode())
    except (ConfigError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return []
    found: list[str] = []
    while len(found) < PROBLEMS_MAX:
        try:
            msgspec.convert(data, Config)
        except msgspec.ValidationError as error:
            found.append(f"{path}: {config_file.explain(str(error))}")
            if not _take_out(data, str(error)):
                break
        else:
            break
    return found


def _take_out(data: dict[str, Any], error: str) -> bool:
    """Remove the key that an error is about; whether there was one to remove."""
    where, field = _AT.search(error), _FIELD.search(error)
    names = [name.partition("[")[0] for name in where[1].split(".")] if where and where[1] else []
    if field and "unknown" in error:
        names.append(field[1])
    elif field and not names:  # missing at the top: anything will do to read on
        data[field[1]] = "x"
        return True
    for name in names[:-1]:
        data = data.get(name, {})
    return bool(names) and data.pop(names[-1], None) is not None


Section = tuple[Iterable[Callable[[], object]], Callable[[], object]]


def _sections(config: Config, now_s: int) -> Iterator[Section]:
    """For each section what may be wrong with it; and behind that what the start itself does."""
    top = [lambda: shards.parse(config.shards), lambda: _check_doors(config)]
    yield top, lambda: None
    yield [lambda: master_keys(config.store)], lambda: _check_store(config)
    yield _endpoint_checks(config.endpoint), lambda: tls.context_of(config.endpoint, now_s)
    settlement = config.settlement
    if settlement is not None:
        yield [], lambda: config_file.read_token(Path(settlement.token_file))
    for section, remote in (("broker", config.broker), ("publish", config.publish)):
        if remote is not None:
            checks = [
                partial(_check_url, section, remote.url, "mqtt"),
                partial(_check_secret, remote.password_file),
                partial(_check_ca, remote.ca_file),
            ]
            login = (remote.user, remote.password_file, remote.ca_file)
            yield checks, partial(remote_of, remote.url, *login)
    if config.http is not None:
        yield _http_checks(config.http), lambda: None
    silent = msgspec.structs.replace(config.notices, mqtt=False)  # its broker is not connected
    yield _notice_checks(config), lambda: channels_of(silent, None, "", lambda: now_s)


def _endpoint_checks(endpoint: Endpoint) -> Iterator[Callable[[], object]]:
    yield lambda: _check_pair("endpoint", endpoint.certificate_file, endpoint.key_file)
    yield lambda: _check_ca(endpoint.client_ca_file)
    yield lambda: _check_secret(endpoint.psk_file)
    if endpoint.client_certificates != "off" and endpoint.client_ca_file is None:
        yield _complaint('"endpoint.client_ca_file" is missing; client certificates need it')
    if endpoint.client_certificates != "off" and endpoint.certificate_file is None:
        yield _complaint('"endpoint.certificate_file" is missing; client certificates need TLS')
    if endpoint.psk_file is not None and sys.version_info < (3, 13):
        yield _complaint('"endpoint.psk_file": TLS-PSK needs Python 3.13; take it out')


def _http_checks(http: Http) -> Iterator[Callable[[], object]]:
    yield lambda: check_http(http)
    yield lambda: _check_pair("http", http.certificate_file, http.key_file)
    if http.token_file is not None:
        token_file = Path(http.token_file)
        yield lambda: tokens.read(token_file)


def _notice_checks(config: Config) -> Iterator[Callable[[], object]]:
    notices, smtp = config.notices, config.notices.smtp
    webhook_url = notices.webhook_url
    if webhook_url is not None:
        yield lambda: _check_url("notices.webhook", webhook_url, "http")
    yield lambda: _check_secret(notices.webhook_token_file)
    if notices.mqtt and config.publish is None:
        yield _complaint('"notices.mqtt" needs [publish], the broker that the notices go to')
    if smtp is not None:
        yield lambda: _check_secret(smtp.password_file)
        yield lambda: _check_ca(smtp.ca_file)
        if not smtp.recipients:
            yield _complaint('"notices.smtp.recipients" is empty; name who gets the notices')


def _complaint(text: str) -> Callable[[], object]:
    def complain() -> None:
        raise ConfigError(text)

    return complain


def _check_doors(config: Config) -> None:
    endpoint, http = config.endpoint, config.http
    if not endpoint.enabled and config.broker is None:
        raise ConfigError('"endpoint.enabled" is false and there is no [broker]: no way in')
    same = http is not None and endpoint.enabled and endpoint.port == http.port
    if same and endpoint.port and http is not None and endpoint.host == http.host:
        raise ConfigError(f'"http.port": {http.port} is the endpoint\'s; choose another')


def _check_store(config: Config) -> None:
    """The folder takes files; a database that is there is ours, not newer, and of this key."""
    path = Path(config.store.path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{path.parent}: is no folder we may write in; correct [store] path")
    if not path.exists() or path.stat().st_size == 0:
        return
    keeper = registry.Registry(*master_keys(config.store))
    connection = store.connect_read_only(path)
    try:
        if connection.execute("SELECT 1 FROM secret_check").fetchone():
            keeper.check_master_key(connection)
    except sqlite3.Error as error:
        raise store.explain(error, path) from None
    finally:
        connection.close()


def _check_pair(section: str, certificate_file: str | None, key_file: str | None) -> None:
    """Both or none; the key is a secret and fits the certificate."""
    if (certificate_file is None) != (key_file is None):
        raise ConfigError(f'"{section}": certificate_file and key_file belong together; set both')
    if certificate_file is None or key_file is None:
        return
    config_file.read_bounded(Path(certificate_file), FILE_BYTES_MAX)
    config_file.read_secret(Path(key_file), FILE_BYTES_MAX)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file, "")
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"{certificate_file}, {key_file}: not a PEM certificate with its key, unencrypted"
        ) from None


def _check_ca(ca_file: str | None) -> None:
    if ca_file is None:
        return
    config_file.read_bounded(Path(ca_file), FILE_BYTES_MAX)
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError(f"{ca_file}: no PEM certificates in it; is it the right file?") from None


def _check_secret(path: str | None) -> None:
    if path is not None:
        config_file.read_secret(Path(path), config_file.TOKEN_CHARS_MAX * 100)


def _check_url(section: str, url: str, scheme: str) -> None:
    if not re.fullmatch(rf"{scheme}s?://[^/@\s]+(/[^@\s]*)?", url):
        raise ConfigError(
            f'"{section}" url: must be {scheme}://host:port or {scheme}s://host:port,'
            " without user or password"
        )
