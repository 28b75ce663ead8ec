#!/usr/bin/env python3
"""Copies the files of a folder into a new one, each synced, then the folder; prints the seconds.

usage: copy_durable.py FROM TO

This is the physical limit that benches/ratio.sh divides by: the kernel copies, nothing is looked at.
"""

import os
import sys
import time


def copy(source, target):
    with open(source, "rb") as reader, open(target, "xb") as writer:
        left = os.fstat(reader.fileno()).st_size
        while left > 0:
            left -= os.copy_file_range(reader.fileno(), writer.fileno(), left)
        os.fsync(writer.fileno())


def main():
    source, target = sys.argv[1:]
    start = time.monotonic()
    os.makedirs(target)
    for name in sorted(os.listdir(source)):
        copy(os.path.join(source, name), os.path.join(target, name))
    folder = os.open(target, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    print(time.monotonic() - start)


main()
