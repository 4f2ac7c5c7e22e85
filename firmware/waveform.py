"""Sums over the samples of one window, and the zero crossings that cut it; 30 bits at most.

Samples are 12-bit counts. With the running offset taken off, the square of one is below 2^24, so
that a block of 64 of them stays below 2^30; blocks are folded into two limbs each.
"""

from collections import namedtuple

COUNTS_MAX = 4095
BLOCK_PAIRS = 64
WINDOW_PAIRS_MAX = 2048
LIMB_BITS = 15
HYSTERESIS_COUNTS = 64  # a crossing counts after the voltage was this far below: noise makes none

# Everything but pairs is (a, b): a sum in counts; or limbs, high and low, of a sum of products.
Sums = namedtuple("Sums", ("pairs", "a", "b", "b_before", "aa", "bb", "ab", "ab_before"))


def crossings(samples, count: int, zero: int) -> "tuple[int, int, int, int]":
    """Whole cycles among count samples: (cycles, first, end, length in 1/1024 of a sample).

    They are samples first..end - 1, from one rising zero crossing to another. Without two of
    them: no cycles, and all samples but the first.
    """
    armed = False
    cycles, first, end, begin, last = -1, 1, count, 0, 0
    low = zero - HYSTERESIS_COUNTS
    for n in range(1, count):
        sample = samples[n]
        if sample < low:
            armed = True
        elif armed and sample >= zero:
            armed = False
            rise = sample - samples[n - 1]
            last = n * 1024 - (sample - zero) * 1024 // rise
            cycles += 1
            end = n
            if cycles == 0:
                first, begin = n, last
    if cycles < 1:
        return 0, 1, count, 0
    return cycles, first, end, last - begin


def add_up(a, b, first: int, end: int, zero_a: int, zero_b: int) -> Sums:
    """The sums over pairs first..end - 1, first at least 1; ab_before pairs a with the b before.

    The loop that takes most of the time: no allocation, no number above 30 bits.
    """
    sum_a = sum_b = 0
    high = [0, 0, 0, 0]
    low = [0, 0, 0, 0]
    before = b_before = b[first - 1] - zero_b
    for at in range(first, end, BLOCK_PAIRS):
        aa = bb = ab = ab_before = 0
        for n in range(at, min(at + BLOCK_PAIRS, end)):
            x = a[n] - zero_a
            y = b[n] - zero_b
            sum_a += x
            sum_b += y
            aa += x * x
            bb += y * y
            ab += x * y
            ab_before += x * before
            before = y
        for index, block in ((0, aa), (1, bb), (2, ab), (3, ab_before)):
            high[index] += block >> LIMB_BITS
            low[index] += block & ((1 << LIMB_BITS) - 1)
    limbs = [(high[index], low[index]) for index in range(4)]
    return Sums(
        end - first, sum_a, sum_b, b_before - before, limbs[0], limbs[1], limbs[2], limbs[3]
    )


def spread(pairs: int, limbs: "tuple[int, int]", sum_a: int, sum_b: int) -> int:
    """pairs^2 times the (co)variance in square counts: the sum of products without its means."""
    return pairs * ((limbs[0] << LIMB_BITS) + limbs[1]) - sum_a * sum_b


def isqrt(value: int) -> int:
    """The whole part of a square root."""
    assert value >= 0
    root = 1
    while root * root <= value:
        root <<= 1
    while root * root > value:
        root = (root + value // root) >> 1
    return root
