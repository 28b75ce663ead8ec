"""A chain of qcow2 overlays: one image for each interval, backed by the one before."""

from pathlib import Path

from cost import measured_shell, measured_worker, run, stored_bytes
from tools.tool import Tool

OVERLAY = Path(__file__).parent.parent / "overlay_extents.py"
# With extended L2 entries a cluster is allocated in parts of 2 KiB. Clusters of 128 KiB, in parts of
# 4 KiB, store the same and were no faster.
OPTIONS = "extended_l2=on"
RESTORE = 'qemu-img convert -f qcow2 -O raw -W "$1" "$2" && sync "$2" "$(dirname "$2")"'


class Qcow2(Tool):
    name = "qcow2 overlays"
    key = "qcow2"
    programs = ("qemu-img", "qemu-nbd")

    def version(self):
        return run("qemu-img", "--version").splitlines()[0]

    def make_points(self, intervals, folder):
        self.chain = folder / "chain"
        self.chain.mkdir()
        return measured_worker(OVERLAY, self.chain, self.workload.disk_bytes, OPTIONS, *intervals.bases)

    def stored_bytes(self):
        return stored_bytes(self.chain)

    def restore(self, number, to):
        return measured_shell(RESTORE, self.chain / f"point-{number:04}.qcow2", to)
