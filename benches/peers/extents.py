"""The live extents of one interval: a table of rows in address order, and their bytes in that order.

    NAME.extents    a row of u64 start, u64 length and u8 kind for each, little-endian
    NAME.payload    the bytes of the extents that are data, one after the other
"""

import struct
from pathlib import Path

ROW = struct.Struct("<QQB")
DATA, ZERO = 1, 2
# The most that is moved at once, so that a worker's memory does not grow with an extent.
PIECE_BYTES = 1 << 20


def table_path(base):
    return Path(f"{base}.extents")


def payload_path(base):
    return Path(f"{base}.payload")


def rows(base):
    """(start, length, kind) of each extent."""
    return list(ROW.iter_unpack(table_path(base).read_bytes()))


def pieces(extents):
    """The same, cut so that none is longer than a piece where it is data."""
    for start, length, kind in extents:
        if kind == ZERO:
            yield start, length, kind
            continue
        for offset in range(0, length, PIECE_BYTES):
            yield start + offset, min(PIECE_BYTES, length - offset), kind
