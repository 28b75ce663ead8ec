#!/usr/bin/env python3
"""Makes a chain of qcow2 overlays, one for each interval, each durable before the next; prints the seconds.

usage: overlay_extents.py FOLDER DISK_BYTES CREATE_OPTIONS INTERVAL...

The overlays are point-0001.qcow2 and on in FOLDER. The live extents of an interval go to its overlay through
qemu-nbd. nbdcopy is no choice here: told to skip the holes of a sparse file, release 1.14 still
writes zeroes over some of them where it may not look for zeroes itself.
"""

import os
import subprocess
import sys
import time

import disk_file
import extents
from nbd_client import NbdClient

# One read of the payload serves many small extents.
READ_BYTES = 4 << 20


def create(name, below, disk_bytes, options):
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options]
    command += ["-b", below, "-F", "qcow2", name] if below else [name, disk_bytes]
    subprocess.run(command, check=True)


def fill(name, base):
    command = ["qemu-nbd", "--format=qcow2", "--socket", os.path.abspath("socket"), name]
    with subprocess.Popen(command) as server:
        try:
            write(NbdClient("socket", server), base)
        except BaseException:
            # It would wait for another client for ever.
            server.kill()
            raise
    if server.returncode != 0:
        raise OSError(f"qemu-nbd gave {server.returncode}")


def write(client, base):
    with extents.payload_path(base).open("rb", buffering=READ_BYTES) as payload:
        for start, length, kind in extents.pieces(extents.rows(base)):
            if kind == extents.ZERO:
                client.write_zeroes(start, length)
            else:
                client.write(start, payload.read(length))
    client.close()


def sync(name):
    file = os.open(name, os.O_RDONLY)
    os.fsync(file)
    os.close(file)
    disk_file.sync_folder(".")


def main():
    folder, disk_bytes, options, *bases = sys.argv[1:]
    os.chdir(folder)
    begun = time.monotonic()
    below = None
    for number, base in enumerate(bases, 1):
        name = f"point-{number:04}.qcow2"
        create(name, below, disk_bytes, options)
        fill(name, base)
        sync(name)
        below = name
    print(time.monotonic() - begun)


main()
