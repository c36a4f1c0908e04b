"""An authority of the tests' own, and what it signs."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Inc."), x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        made = self._builder(subject(name), subject(name), self.key, now - DAY, now + 2 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca = self._write(f"{name}.pem", made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, whose, by, key, begin, end):
        builder = x509.CertificateBuilder().subject_name(whose).issuer_name(by).public_key(key.public_key())
        return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)

    def _write(self, name: str, text: bytes) -> str:
        path = self.folder / name
        scratch = path.with_suffix(".new")
        scratch.write_bytes(text)
        scratch.chmod(0o600)
        scratch.rename(path)
        return str(path)

    def sign(self, name: str, host="localhost", address="127.0.0.1", days=2) -> tuple[str, str]:
        """A certificate and its key, as two PEM files; `days` from now it ends."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(address))])
        made = self._builder(subject(name), subject(self.name), key, now - 9 * DAY, now + days * DAY).add_extension(names, critical=False)
        signed = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self._write(f"{name}.pem", signed), self._write(f"{name}-key.pem", own)
