"""Afterimage: from segments in a folder to durable points in a folder."""

import json
import shutil

from cost import Failed, measured, run, stored_bytes
from intervals import DISK, GROUP
from tools.tool import Tool


class Afterimage(Tool):
    """The process `afterimage replicate --once` from its start to its end.

    It gets a copy of the segments, since it deletes what it has made points of. They come compressed
    from the import, which stands for the agent at the source and is reported apart.
    """

    name = "Afterimage"
    key = "afterimage"
    # Where its copy of the segments goes; beside its points where nothing is said.
    cache_folder = None

    def version(self):
        return run(self.workload.program, "--version").strip()

    def make_points(self, intervals, folder):
        cache, self.target = (self.cache_folder or folder) / "cache", folder / "points"
        shutil.rmtree(cache, ignore_errors=True)
        run("cp", "-r", "--reflink=never", intervals.cache, cache)
        run("sync")
        cost = measured(
            self.workload.program, "replicate", "--once", "--group", GROUP,
            "--cache", cache, "--target", self.target,
        )  # fmt: skip
        listed = run(self.workload.program, "--json", "points", "--group", GROUP, "--target", self.target)
        self.ids = [point["id"] for point in json.loads(listed)]
        if len(self.ids) != len(intervals.bases):
            raise Failed(f"{len(self.ids)} points were made of {len(intervals.bases)} intervals")
        return cost

    def stored_bytes(self):
        return stored_bytes(self.target)

    def restore(self, number, to):
        return measured(
            self.workload.program, "restore", "--group", GROUP, "--target", self.target,
            "--point", self.ids[number - 1], "--disk", DISK, "--to", to,
        )  # fmt: skip
