"""What may only lie encrypted or hashed: replies with secrets, signing keys, API keys, capabilities in logs.

Everything derives from FM_SECRET_KEY, each purpose with a key of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Secrets:
    """Derived keys of one installation."""

    def __init__(self, secret_key: str) -> None:
        self._root = secret_key.encode()
        self._box = AESGCM(self._key("box"))
        self._log_key = self._key("log")
        self._buyer_key = self._key("buyer")
        self._idempotency_key = self._key("idempotency")
        self.session_key = self._key("session").hex()
        self.challenge_key = self._key("challenge")
        self.operator_key = self._key("operator").hex()

    def _key(self, purpose: str) -> bytes:
        return HKDF(hashes.SHA256(), 32, None, f"force-majeure {purpose}".encode()).derive(self._root)

    def seal(self, data: bytes) -> bytes:
        """AES-256-GCM, nonce in front."""
        nonce = secrets.token_bytes(12)
        return nonce + self._box.encrypt(nonce, data, None)

    def open(self, sealed: bytes) -> bytes:
        """Raises cryptography's InvalidTag when the secret key is another one."""
        return self._box.decrypt(sealed[:12], sealed[12:], None)

    def for_log(self, capability: str) -> str:
        """A short keyed hash: the same capability reads the same in every log, and cannot be used."""
        return hmac.new(self._log_key, capability.encode(), hashlib.sha256).hexdigest()[:12]

    def buyer(self, kind: str, value: str) -> int:
        """128-bit keyed hash of a session, fingerprint or e-mail, for counting without knowing."""
        return _hash128(self._buyer_key, f"{kind}:{value}".encode())

    def idempotency(self, scope: str, key: str) -> int:
        """128-bit keyed hash of an idempotency key within its caller's scope."""
        return _hash128(self._idempotency_key, f"{scope}\n{key}".encode())


def _hash128(key: bytes, data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, key=key, digest_size=16).digest(), "big")


def body_hash(body: bytes) -> int:
    """63 bits of a request's meaning, to tell a repeat from another request under the same key."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big") >> 1


def random_id() -> int:
    """128 random bits."""
    return secrets.randbits(128)


def hash_api_key(secret: str) -> bytes:
    """API keys are long and random: a plain hash is enough to make the stored form useless."""
    return hashlib.sha256(secret.encode()).digest()
