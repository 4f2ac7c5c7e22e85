"""Makes a CA and a gateway's certificates, good and bad, for tests of TLS."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM


@dataclass
class Signer:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def der(self) -> bytes:
        """The certificate as a meter keeps it."""
        return self.certificate.public_bytes(DER)

    def pem(self) -> bytes:
        """The certificate as text."""
        return self.certificate.public_bytes(PEM)


def a_ca(name: str = "OpenLicznik test CA") -> Signer:
    """A CA that signs itself. Two of the same name differ in their keys."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Signer(_signed(name, key, name, key, is_ca=True), key)


def a_gateway(
    ca: Signer | None, name: str = "gateway.test", begins: float = -1, ends: float = 365
) -> Signer:
    """A gateway's certificate for that name, valid from `begins` to `ends` days from now.

    Without a CA it signs itself.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = ca.certificate.subject.rfc4514_string().removeprefix("CN=") if ca else name
    signed = _signed(name, key, issuer, ca.key if ca else key, begins=begins, ends=ends)
    return Signer(signed, key)


def a_context(gateway: Signer, folder: Path) -> ssl.SSLContext:
    """What a TLS server with this certificate needs."""
    path = folder / f"{gateway.certificate.serial_number}.pem"
    private = gateway.key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(gateway.pem() + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    is_ca: bool = False,
    begins: float = -1,
    ends: float = 365,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + ends * DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
