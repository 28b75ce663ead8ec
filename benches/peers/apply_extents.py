#!/usr/bin/env python3
"""Writes the extents of intervals onto a raw disk, synced after each; prints the seconds.

usage: apply_extents.py DISK INTERVAL... [--clone-into FOLDER]

--clone-into FOLDER   after each interval the disk becomes a point: a file point-0001.raw and on in
                      FOLDER that shares its blocks. Then the clone and FOLDER are synced instead of the
                      disk, which makes the point durable with as few waits as there can be.
"""

import argparse
import os
import time

import disk_file
import extents

# One read of the payload serves many small extents.
READ_BYTES = 4 << 20


def apply(disk, base):
    with extents.payload_path(base).open("rb", buffering=READ_BYTES) as payload:
        for start, length, kind in extents.pieces(extents.rows(base)):
            if kind == extents.ZERO:
                disk_file.punch(disk, start, length)
            elif os.pwrite(disk, payload.read(length), start) != length:
                raise OSError("the disk took less than it was given")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("disk")
    parser.add_argument("intervals", nargs="+")
    parser.add_argument("--clone-into")
    call = parser.parse_args()
    disk = os.open(call.disk, os.O_RDWR)
    begun = time.monotonic()
    for number, base in enumerate(call.intervals, 1):
        apply(disk, base)
        if call.clone_into:
            point = disk_file.clone(disk, os.path.join(call.clone_into, f"point-{number:04}.raw"))
            os.fsync(point)
            os.close(point)
            disk_file.sync_folder(call.clone_into)
        else:
            os.fsync(disk)
    print(time.monotonic() - begun)


main()
