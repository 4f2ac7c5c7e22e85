"""Seal and open with AES-CCM-16-128-128 (RFC 3610, RFC 9053 section 4.2); the one door to AES."""

from wire.errors import BadTag

TAG_BYTES = 16

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    def seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Ciphertext followed by a 16-byte tag. key 16 bytes, nonce 13 bytes."""
        return AESCCM(key, TAG_BYTES).encrypt(nonce, plaintext, aad)

    def open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext, or BadTag."""
        try:
            return AESCCM(key, TAG_BYTES).decrypt(nonce, sealed, aad)
        except InvalidTag:
            raise BadTag("the seal does not hold") from None

except ImportError:  # the device: CCM built from the two modes that stock firmware has
    from wire.ccm import open, seal

__all__ = ["TAG_BYTES", "open", "seal"]
