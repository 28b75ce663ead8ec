"""What backup programs have in common: they are shown the whole disk after each interval."""

import sys
from pathlib import Path

import disk_file
from cost import Cost, run
from tools.tool import Tool

APPLY = Path(__file__).parent.parent / "apply_extents.py"


class Backup(Tool):
    """The disk is a file that lies in the page cache. Bringing it forward is not timed, backing it up is."""

    def make_points(self, intervals, folder):
        self.folder, self.disk, self.repository = folder, folder / "disk.raw", folder / "repository"
        disk_file.create_closed(self.disk, self.workload.disk_bytes)
        self.create_repository()
        cost = Cost()
        for number, base in enumerate(intervals.bases, 1):
            run(sys.executable, APPLY, self.disk, base)
            run("sync")
            cost += self.back_up(number)
        return cost

    def create_repository(self):
        raise NotImplementedError

    def back_up(self, number) -> Cost:
        raise NotImplementedError
