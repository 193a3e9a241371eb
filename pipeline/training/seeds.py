"""Random state as a pure function of keys, so that nothing has to be remembered to resume a run."""

from __future__ import annotations

import hashlib

import numpy as np

# What a seed is for; a purpose of its own keeps two uses of the same numbers independent.
ORDER, SENTENCE, NEGATIVES, AUGMENT, FORWARD, STEP, HELD_OUT = range(7)


def seed_of(*keys: int) -> int:
    """A seed in [0, 2^63) that depends on every key and on their order."""
    content = ",".join(str(int(key)) for key in keys).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1


def generator_of(*keys: int) -> np.random.Generator:
    """A numpy generator seeded by `seed_of(*keys)`."""
    return np.random.Generator(np.random.PCG64(seed_of(*keys)))
