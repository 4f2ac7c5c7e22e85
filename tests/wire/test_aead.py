"""AES-CCM on both runtimes: published cipher text, and no forgery taken."""

from binascii import unhexlify

from wire import aead
from wire.errors import BadTag

KEY = bytes(range(16))
NONCE = bytes(range(13))


def _refused(key, nonce, sealed, aad):
    try:
        aead.open(key, nonce, sealed, aad)
    except BadTag as error:
        return error.reason == "bad_tag"
    return False


def test_the_cipher_text_is_that_of_rfc_3610():
    # Packet vectors 1 and 2 have an 8-byte tag; the cipher text does not depend on its length.
    key = unhexlify("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")
    aad = bytes(range(8))
    one = aead.seal(key, unhexlify("00000003020100a0a1a2a3a4a5"), bytes(range(8, 31)), aad)
    assert one[:-16] == unhexlify("588c979a61c663d2f066d0c2c0f989806d5f6b61dac384")
    two = aead.seal(key, unhexlify("00000004030201a0a1a2a3a4a5"), bytes(range(8, 32)), aad)
    assert two[:-16] == unhexlify("72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3b")


def test_what_is_sealed_opens_again_at_every_length():
    for length in list(range(50)) + [255, 256, 900]:
        plaintext = bytes([n & 0xFF for n in range(length)])
        sealed = aead.seal(KEY, NONCE, plaintext, b"topic")
        assert len(sealed) == length + aead.TAG_BYTES
        assert aead.open(KEY, NONCE, sealed, b"topic") == plaintext


def test_additional_data_of_every_length_is_bound():
    for length in range(40):
        sealed = aead.seal(KEY, NONCE, b"reading", bytes(length))
        assert aead.open(KEY, NONCE, sealed, bytes(length)) == b"reading"
        assert _refused(KEY, NONCE, sealed, bytes(length + 1))


def test_another_key_nonce_or_topic_is_refused():
    sealed = aead.seal(KEY, NONCE, b"reading", b"topic")
    assert _refused(bytes(16), NONCE, sealed, b"topic")
    assert _refused(KEY, bytes(13), sealed, b"topic")
    assert _refused(KEY, NONCE, sealed, b"other")


def test_fewer_bytes_than_a_tag_are_refused():
    for length in range(aead.TAG_BYTES):
        assert _refused(KEY, NONCE, bytes(length), b"")
