"""Where the admin interface may listen: with a token beyond this machine only under TLS."""

from __future__ import annotations

import ipaddress

from gateway.config import Http
from gateway.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_http(http: Http) -> None:
    """A token that travels in clear is everybody's. Raises ConfigError."""
    if http.token_file is not None and http.certificate_file is None and not is_loopback(http.host):
        raise ConfigError(
            f'"http.host": the admin interface on {http.host} needs certificate_file and key_file;'
            " set them, listen on 127.0.0.1, or take token_file out"
        )
