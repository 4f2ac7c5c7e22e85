"""What `gateway certs` makes: for whom, how long, who may read it, and never over what is there."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.doors import certs
from gateway.errors import ConfigError, UsageError
from tests.gateway.test_gateway_command_line import gateway
from tests.support.gateway import a_meter

NOW_S = 1_790_000_000
DAY_S = 86_400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "certs"
    certs.make_ca(made, "Test CA", NOW_S)
    return made


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_ca_is_for_meters_in_der_and_signs_nothing_but_ends(folder: Path) -> None:
    made = read(folder / "ca.pem")
    assert x509.load_der_x509_certificate((folder / "ca.der").read_bytes()) == made
    limits = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)


def test_certificates_begin_two_days_back_for_chips_without_the_time(folder: Path) -> None:
    certs.make_server(folder, ["gateway.test"], NOW_S)
    certs.make_client(folder, a_meter().meter_id, NOW_S)
    for name in ("ca", "server", a_meter().hex_id):
        begins = read(folder / f"{name}.pem").not_valid_before_utc
        assert begins == datetime.fromtimestamp(NOW_S - 2 * DAY_S, UTC), name


def test_a_server_s_certificate_names_every_host_and_address(folder: Path) -> None:
    certs.make_server(folder, ["gateway.test", "other.test", "192.0.2.1", "2001:db8::1"], NOW_S)
    names = read(folder / "server.pem").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["gateway.test", "other.test"]
    found = [str(one) for one in names.value.get_values_for_type(x509.IPAddress)]
    assert found == ["192.0.2.1", "2001:db8::1"]


def test_a_certificate_does_not_outlive_its_ca(folder: Path) -> None:
    ca_ends = read(folder / "ca.pem").not_valid_after_utc
    late_s = int(ca_ends.timestamp()) - 10 * DAY_S
    certs.make_server(folder, ["gateway.test"], late_s)
    assert read(folder / "server.pem").not_valid_after_utc <= ca_ends
    with pytest.raises(UsageError, match="the CA expired"):
        certs.make_client(folder, a_meter().meter_id, late_s + 10 * DAY_S)


def test_keys_are_their_owner_s_and_nothing_is_overwritten(folder: Path) -> None:
    certs.make_server(folder, ["gateway.test"], NOW_S)
    certs.make_client(folder, a_meter().meter_id, NOW_S)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for path in folder.glob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600, path
    for make in (
        lambda: certs.make_ca(folder, "Test CA", NOW_S),
        lambda: certs.make_server(folder, ["gateway.test"], NOW_S),
        lambda: certs.make_client(folder, a_meter().meter_id, NOW_S),
    ):
        with pytest.raises(UsageError, match="never overwritten"):
            make()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_renewing_keeps_names_and_key_and_leaves_no_moment_without_a_pair(folder: Path) -> None:
    certs.make_server(folder, ["gateway.test", "192.0.2.1"], NOW_S)
    before, key = read(folder / "server.pem"), (folder / "server.key").read_bytes()
    (folder / "server.pem.new").write_text("of a renewal that was cut off")
    certs.renew_server(folder, NOW_S + 300 * DAY_S)
    after = read(folder / "server.pem")
    assert (folder / "server.key").read_bytes() == key
    assert after.public_key() == before.public_key()
    assert after.subject == before.subject
    names = x509.SubjectAlternativeName
    assert after.extensions.get_extension_for_class(names) == (
        before.extensions.get_extension_for_class(names)
    )
    assert after.serial_number != before.serial_number
    assert after.not_valid_after_utc > before.not_valid_after_utc
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        folder / "server.pem", folder / "server.key"
    )
    assert not (folder / "server.pem.new").exists()


@pytest.mark.parametrize(("count", "is_good"), [(0, False), (1, True), (16, True), (17, False)])
def test_a_certificate_names_so_many_hosts(folder: Path, count: int, is_good: bool) -> None:
    names = [f"gateway{number}.test" for number in range(count)]
    if is_good:
        assert len(certs.make_server(folder, names, NOW_S)) == 2
    else:
        with pytest.raises(UsageError, match="1 to 16"):
            certs.make_server(folder, names, NOW_S)


@pytest.mark.parametrize(
    ("name", "is_good"),
    [("", False), ("g", True), ("g" * 64, True), ("g" * 65, False), ("łódź.test", False)],
)
def test_a_name_is_short_and_ascii(folder: Path, name: str, is_good: bool) -> None:
    if is_good:
        assert len(certs.make_server(folder, [name], NOW_S)) == 2
    else:
        with pytest.raises(UsageError, match="1 to 64 ASCII"):
            certs.make_server(folder, [name], NOW_S)


def test_a_folder_without_a_usable_ca_is_told_what_to_do(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="certs ca"):
        certs.make_server(tmp_path, ["gateway.test"], NOW_S)
    with pytest.raises(ConfigError, match="no such file"):
        certs.renew_server(folder, NOW_S)
    (folder / "ca.key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        certs.make_server(folder, ["gateway.test"], NOW_S)
    (folder / "ca.key").unlink()
    certs.make_ca(tmp_path / "other", "Test CA", NOW_S)
    (tmp_path / "other/ca.key").rename(folder / "ca.key")
    with pytest.raises(UsageError, match="is not the key of"):
        certs.make_server(folder, ["gateway.test"], NOW_S)


def test_the_command_line_makes_renews_and_says_what_to_put_where(tmp_path: Path) -> None:
    made = gateway("certs", "ca", folder=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert "ca.der" in made.stdout
    made = gateway("certs", "server", "--name", "gateway.test", folder=tmp_path)
    assert f'certificate_file = "{tmp_path / "certs/server.pem"}"' in made.stdout
    assert gateway("certs", "server", "--renew", folder=tmp_path).returncode == 0
    assert gateway("certs", "client", a_meter().hex_id, folder=tmp_path).returncode == 0
    for wrong in (
        ["certs", "ca"],
        ["certs", "server"],
        ["certs", "server", "--renew", "--name", "x"],
        ["certs", "client", "nobody"],
    ):
        refused = gateway(*wrong, folder=tmp_path)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), wrong
