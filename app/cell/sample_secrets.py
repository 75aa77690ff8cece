"""Real keys, certificates and passwords for a sample cell, made anew each time."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class WireGuardKeys:
    """Hold one WireGuard key pair in the base64 form of its configuration files."""

    private: str
    public: str


@dataclass(frozen=True, slots=True)
class Authority:
    """Hold a certificate authority: its key and its self-signed certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def key_pem(self) -> bytes:
        """Give the private key as PEM."""
        return private_pem(self.key)

    def certificate_pem(self) -> bytes:
        """Give the certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)


def wireguard_keys() -> WireGuardKeys:
    """Make an X25519 key pair."""
    key = X25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return WireGuardKeys(base64.b64encode(private).decode(), base64.b64encode(public).decode())


def authority(name: str) -> Authority:
    """Make a certificate authority that is good for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _common_name(name)
    builder = _builder(subject, subject, key, days=3650)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def leaf(issuer: Authority, domain: str) -> tuple[bytes, bytes]:
    """Make the key and the certificate of a host and all names below it, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_common_name(domain), issuer.certificate.subject, key, days=90)
    names = x509.SubjectAlternativeName([x509.DNSName(domain), x509.DNSName(f"*.{domain}")])
    certificate = builder.add_extension(names, critical=False).sign(issuer.key, hashes.SHA256())
    return private_pem(key), certificate.public_bytes(Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Give a private key as unencrypted PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def password() -> str:
    """Make a password."""
    return secrets.token_urlsafe(18)


def password_hash(plain: str) -> str:
    """Hash a password with scrypt, in the usual `$`-separated form."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(plain.encode(), salt=salt, n=2**14, r=8, p=1)
    return f"$scrypt$ln=14,r=8,p=1${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(minutes=5),
        not_valid_after=now + timedelta(days=days),
    )
