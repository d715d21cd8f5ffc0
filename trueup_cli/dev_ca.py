"""A certificate authority of one's own: a CA, and certificates that it signs. For development and closed networks."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from grpckit.secret_file import write_private
from trueup_cli.failures import Failure

CA, SERVER, CLIENT = "ca", "server", "client"
CA_DAYS = 3_650
LEAF_DAYS = 397  # browsers take no longer ones
_BACKDATED = timedelta(hours=1)  # clocks differ

_Key = ec.EllipticCurvePrivateKey


class DevCa:
    """Files NAME.pem and NAME.key in a folder; keys can be read by their owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ensure(self) -> bool:
        """Make the CA, unless it is there. True: it was made."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self._folder / f"{CA}.pem").exists():
            return False
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("trueup development CA")
        made = (
            _builder(name, name, key, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write(CA, key, made)
        return True

    def issue(self, kind: str, common_name: str, hosts: Iterable[str] = (), *, days: int = LEAF_DAYS) -> Path:
        """Sign a certificate, in place of the one that was there; where it is. Raises Failure."""
        ca, ca_key = self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if kind == SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(_name(common_name), ca.subject, key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )
        if names := [_general(host) for host in dict.fromkeys(hosts)]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return self._write(kind, key, builder.sign(ca_key, hashes.SHA256()))

    def _load(self) -> tuple[x509.Certificate, _Key]:
        try:
            ca = x509.load_pem_x509_certificate((self._folder / f"{CA}.pem").read_bytes())
            key = serialization.load_pem_private_key((self._folder / f"{CA}.key").read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise Failure(f"the CA in {self._folder} cannot be read: {type(error).__name__}") from None
        if not isinstance(key, _Key):
            raise Failure(f"the CA in {self._folder} is not one that this command made")
        return ca, key

    def _write(self, name: str, key: _Key, made: x509.Certificate) -> Path:
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = self._folder / f"{name}.pem"
        draft = self._folder / f".{name}.key.new"
        with suppress(FileNotFoundError):
            draft.unlink()
        # The key first: who reads in between finds two that do not belong together, and looks again.
        write_private(draft, encoded.decode())
        draft.replace(self._folder / f"{name}.key")
        new = self._folder / f".{name}.pem.new"
        new.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        os.replace(new, chain)  # noqa: PTH105 - as above: whole or not at all
        return chain


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
