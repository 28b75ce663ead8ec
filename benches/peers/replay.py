#!/usr/bin/env python3
"""Cuts a write log into intervals: their live extents, and the disk after the first and the last.

usage: replay.py LOG DISK_BYTES EVERY FOLDER

An interval ends after every so many entries, the last with the log: the same cut as that of
`afterimage import log-writes --marker-every`. Every write goes to a plain file and marks its sectors
in an array; runs of marked sectors are the extents. That is all the coalescing there is here, so the
disks it leaves can judge what each tool restores.

FOLDER gets interval-0001 and on as in extents.py, oldest.raw and newest.raw. Prints a line of JSON.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import disk_file
import extents
import write_log

SECTOR = 512
RUNS = re.compile(b"\x01+|\x02+")


def cut(image, marks, base):
    """Writes down the extents that are marked; gives their number and bytes of data."""
    count, data_bytes = 0, 0
    with extents.table_path(base).open("xb") as table, extents.payload_path(base).open("xb") as payload:
        for run in RUNS.finditer(marks):
            start, length = run.start() * SECTOR, (run.end() - run.start()) * SECTOR
            kind = marks[run.start()]
            table.write(extents.ROW.pack(start, length, kind))
            count += 1
            if kind == extents.ZERO:
                continue
            data_bytes += length
            for first, piece, _ in extents.pieces([(start, length, kind)]):
                payload.write(os.pread(image, piece, first))
    return count, data_bytes


def copy(source, target):
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def main():
    log_path, disk_bytes, every, folder = sys.argv[1:]
    disk_bytes, every, folder = int(disk_bytes), int(every), Path(folder)
    sectors = disk_bytes // SECTOR
    image = disk_file.create(folder / "newest.raw", disk_bytes)
    marks = bytearray(sectors)
    intervals = []
    written_bytes = 0
    with write_log.opened(log_path) as log:
        for number, (start, length, payload) in enumerate(log, 1):
            if start + length > disk_bytes or (start | length) % SECTOR != 0:
                raise ValueError(f"entry {number} of the log does not fit the disk")
            if length:
                first, last = start // SECTOR, (start + length) // SECTOR
                if payload is None:
                    disk_file.punch(image, start, length)
                    marks[first:last] = b"\x02" * (last - first)
                else:
                    os.pwrite(image, payload, start)
                    written_bytes += length
                    marks[first:last] = b"\x01" * (last - first)
            if number % every == 0 or number == log.count:
                name = f"interval-{len(intervals) + 1:04}"
                count, data_bytes = cut(image, marks, folder / name)
                intervals.append({"name": name, "extents": count, "data_bytes": data_bytes})
                marks = bytearray(sectors)
                if len(intervals) == 1:
                    copy(folder / "newest.raw", folder / "oldest.raw")
    json.dump({"entries": log.count, "written_bytes": written_bytes, "intervals": intervals}, sys.stdout)


main()
