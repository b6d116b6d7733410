"""Keys of content: 128 bits of xxh3, the same as the store's, so that packed and loose pictures have one key."""

import xxhash

from mmbert.data.tables.content_key import content_key
from mmbert.store.content_keys import key_of


def test_the_key_is_the_hash_and_the_stores():
    for content in (b"", b"a", bytes(1000)):
        digest = xxhash.xxh3_128_intdigest(content)
        assert content_key(content) == (digest >> 64, digest & (2**64 - 1)) == key_of(content)
