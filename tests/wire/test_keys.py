"""The key schedule against published vectors: RFC 4231 (HMAC) and RFC 5869 (HKDF)."""

from binascii import hexlify, unhexlify

from wire import keys


def _hex(data):
    return hexlify(data).decode()


def test_hmac_sha256_gives_the_answers_of_rfc_4231():
    # (key, data, answer): test cases 1, 2 and 6 (a key longer than a block)
    cases = (
        (
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    )
    for key, data, answer in cases:
        assert _hex(keys.hmac_sha256(key, data)) == answer


def test_hkdf_gives_the_answers_of_rfc_5869():
    # appendix A.1, and A.3 (no salt, no info)
    prk = keys.hkdf_extract(unhexlify("000102030405060708090a0b0c"), b"\x0b" * 22)
    assert _hex(prk) == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert _hex(keys.hkdf_expand(prk, unhexlify("f0f1f2f3f4f5f6f7f8f9"), 42)) == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    prk = keys.hkdf_extract(b"", b"\x0b" * 22)
    assert _hex(keys.hkdf_expand(prk, b"", 42)) == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_the_frame_key_is_hkdf_expand_of_the_iv():
    meter_key = bytes(range(32))
    iv = keys.make_iv(keys.UP, 7)
    prk = keys.hkdf_extract(b"openlicznik/1", meter_key)
    expected = keys.hkdf_expand(prk, b"openlicznik/1 frame" + iv, 16)
    assert keys.EpochKey(0, meter_key).frame_key(iv) == expected


def test_the_iv_is_direction_zeros_and_counter():
    assert _hex(keys.make_iv(keys.UP, 0)) == "01" + "00" * 12
    assert _hex(keys.make_iv(keys.DOWN, (1 << 64) - 1)) == "02" + "00" * 4 + "ff" * 8


def test_no_two_frames_share_a_key():
    key = keys.EpochKey(0, bytes(32))
    ivs = [keys.make_iv(way, n) for way in (keys.UP, keys.DOWN) for n in range(100)]
    assert len({key.frame_key(iv) for iv in ivs}) == 200


def test_a_key_never_shows_itself():
    key = keys.EpochKey(3, bytes(range(32)))
    assert repr(key) == str(key) == "EpochKey(key_epoch=3)"


def test_a_meter_key_of_another_length_is_refused():
    for length in (0, 16, 31, 33):
        try:
            keys.EpochKey(0, bytes(length))
        except ValueError as error:
            assert "32 bytes" in str(error)
        else:
            raise AssertionError(length)


def test_a_key_epoch_is_one_byte():
    assert keys.EpochKey(keys.KEY_EPOCH_MAX, bytes(32)).key_epoch == 255
    for epoch in (-1, keys.KEY_EPOCH_MAX + 1):
        try:
            keys.EpochKey(epoch, bytes(32))
        except ValueError as error:
            assert "one byte" in str(error)
        else:
            raise AssertionError(epoch)
