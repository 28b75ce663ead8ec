"""The limits: what the machine needs to move the same bytes when nothing is asked of them."""

from pathlib import Path

import disk_file
from cost import measured_shell, measured_worker, stored_bytes
from tools.tool import Tool

PEERS = Path(__file__).parent.parent
# Used for every restore that ends with a plain copy.
COPY_DISK = 'cp --sparse=always "$1" "$2" && sync "$2" "$(dirname "$2")"'


class PlainCopy(Tool):
    """Points: the segments are copied, each file synced. Restores: the raw disk is copied and synced."""

    name = "limit: plain copy"
    key = "copy"

    def make_points(self, intervals, folder):
        self.intervals, self.copy = intervals, folder / "copy"
        return measured_worker(PEERS.parent / "copy_durable.py", intervals.segments(), self.copy)

    def stored_bytes(self):
        return stored_bytes(self.copy)

    def restore(self, number, to):
        source = self.intervals.oldest if number == 1 else self.intervals.newest
        return measured_shell(COPY_DISK, source, to)


class OneFile(Tool):
    """The live extents are written once onto one raw file, synced after each interval.

    No point stays but the last: whoever keeps raw disks up to date cannot do less.
    """

    name = "limit: one raw file, no points"
    key = "file"
    keeps_points = False

    def make_points(self, intervals, folder):
        self.disk = folder / "disk.raw"
        disk_file.create_closed(self.disk, self.workload.disk_bytes)
        return measured_worker(PEERS / "apply_extents.py", self.disk, *intervals.bases)

    def stored_bytes(self):
        return stored_bytes(self.disk.parent)

    def restore(self, number, to):
        """Not timed by the caller; the copy shows that the disk is right."""
        return measured_shell(COPY_DISK, self.disk, to)
