"""Clones of one raw file, on a file system that shares blocks, on a loop device."""

import os
from pathlib import Path

import disk_file
from cost import Failed, measured_shell, measured_worker, run
from tools.limits import COPY_DISK
from tools.tool import Tool

APPLY = Path(__file__).parent.parent / "apply_extents.py"
# For the trial whether such a file system can be mounted at all.
TRIAL_BYTES = 512 << 20


class Reflink(Tool):
    """The live extents are written onto a file of the file system; after each interval it is cloned."""

    def __init__(self, workload, file_system, mkfs, options):
        super().__init__(workload)
        self.file_system, self.mkfs, self.options = file_system, mkfs, options
        self.programs = (mkfs[0], "losetup", "mount")
        self.loop = self.mounted = None

    def version(self):
        return run(self.mkfs[0], "-V").strip()

    def missing(self, folder):
        if os.geteuid() != 0:
            return "loop devices and mounts need root"
        why = super().missing(folder)
        if why:
            return why
        try:
            self.mount(folder, TRIAL_BYTES)
        except Failed as failed:
            return str(failed)
        finally:
            self.close()
        return None

    def mount(self, folder, size):
        backing, mounted = folder / "backing", folder / "mounted"
        disk_file.create_closed(backing, size)
        run(*self.mkfs, backing)
        self.loop = run("losetup", "--find", "--show", "--direct-io=on", backing).strip()
        mounted.mkdir()
        run("mount", "-t", self.file_system, "-o", self.options, self.loop, mounted)
        self.mounted = mounted
        self.used_when_empty = self.used()

    def used(self):
        run("sync", "--file-system", self.mounted)
        whole = os.statvfs(self.mounted)
        return (whole.f_blocks - whole.f_bfree) * whole.f_frsize

    def make_points(self, intervals, folder):
        # Twice what is written, and room for what such a file system keeps for itself.
        self.mount(folder, 2 * intervals.data_bytes + (2 << 30))
        disk, self.points = self.mounted / "disk.raw", self.mounted / "points"
        self.points.mkdir()
        disk_file.create_closed(disk, self.workload.disk_bytes)
        run("sync")
        return measured_worker(APPLY, disk, *intervals.bases, "--clone-into", self.points)

    def stored_bytes(self):
        """Blocks that the file system has given out: `du` would count what is shared once a clone."""
        return self.used() - self.used_when_empty

    def restore(self, number, to):
        return measured_shell(COPY_DISK, self.points / f"point-{number:04}.raw", to)

    def close(self):
        if self.mounted:
            run("umount", self.mounted)
            self.mounted = None
        if self.loop:
            run("losetup", "--detach", self.loop)
            self.loop = None


def xfs(workload):
    tool = Reflink(workload, "xfs", ("mkfs.xfs", "-q", "-m", "reflink=1"), "noatime")
    tool.name, tool.key = "XFS reflink copies", "xfs"
    return tool


def btrfs(workload, compressed=False):
    options = "noatime,compress=zstd:1" if compressed else "noatime"
    tool = Reflink(workload, "btrfs", ("mkfs.btrfs", "-q"), options)
    tool.name, tool.key = "btrfs reflink copies", "btrfs"
    if compressed:
        tool.name, tool.key = "btrfs reflink copies, zstd 1", "btrfs-zstd"
    return tool
