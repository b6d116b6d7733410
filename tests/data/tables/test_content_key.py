"""Keys of content: 128 bits of xxh3 in two halves."""

import xxhash

from mmbert.data.tables.content_key import content_key


def test_the_key_is_the_hash():
    for content in (b"", b"a", bytes(1000)):
        digest = xxhash.xxh3_128_intdigest(content)
        assert content_key(content) == (digest >> 64, digest & (2**64 - 1))
