#!/usr/bin/env python3
"""Reads a write log of Linux dm-log-writes or QEMU's blklogwrites, plain or zstd, entry by entry.

usage: write_log.py LOG     prints how many entries it has

It shares nothing with the Rust code: what it gives is what the tools are compared with.
"""

import contextlib
import struct
import subprocess
import sys
from pathlib import Path

MAGIC = 0x006A736677736872
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DISCARD, MARK = 4, 8
HEADER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")


class WriteLog:
    """The entries of an open log: `count`, and an iterator of (start, length, payload).

    Start and length are bytes. The payload is None where the bytes became zero; a length of 0
    is an entry without effect on the disk, such as a flush.
    """

    def __init__(self, source, name):
        self.source, self.name = source, name
        magic, version, self.count, self.sector = HEADER.unpack(self.taken(HEADER.size))
        if (magic, version) != (MAGIC, 1):
            raise ValueError(f"{name} is no write log")
        self.taken(self.sector - HEADER.size)

    def taken(self, length):
        data = self.source.read(length)
        if len(data) != length:
            raise ValueError(f"{self.name} ends before its last entry")
        return data

    def __iter__(self):
        for _ in range(self.count):
            # The text of a mark is in the same sector, behind the fields.
            first, sectors, flags, _text = ENTRY.unpack_from(self.taken(self.sector))
            start, length = first * self.sector, sectors * self.sector
            if flags & MARK:
                yield start, 0, None
            elif flags & DISCARD:
                yield start, length, None
            else:
                yield start, length, self.taken(length) if length else None


@contextlib.contextmanager
def opened(path):
    """Opens a log, unpacking it on the way where it is compressed."""
    with Path(path).open("rb") as file:
        if file.read(len(ZSTD_MAGIC)) != ZSTD_MAGIC:
            file.seek(0)
            yield WriteLog(file, path)
            return
    command = ["zstd", "-dc", "--long=31", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=1 << 20) as unpack:
        yield WriteLog(unpack.stdout, path)
        unpack.kill()


if __name__ == "__main__":
    with opened(sys.argv[1]) as log:
        print(log.count)
