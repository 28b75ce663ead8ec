"""The tools that are compared, one file each, and the order in which they take turns."""

from tools.afterimage import Afterimage
from tools.borg import Borg
from tools.limits import OneFile, PlainCopy
from tools.qcow2 import Qcow2
from tools.reflink import btrfs, xfs
from tools.restic import Restic


def all_tools(workload):
    """A new one of each. The plain copy is first: the others are divided by it."""
    return [
        PlainCopy(workload),
        OneFile(workload),
        Afterimage(workload),
        Qcow2(workload),
        xfs(workload),
        btrfs(workload),
        btrfs(workload, compressed=True),
        Borg(workload),
        Restic(workload),
    ]
