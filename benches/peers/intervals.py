"""The input of a comparison: a log, and the same log cut into a number of intervals."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import write_log
from cost import Cost, measured, run

GROUP, DISK = "peers", "root"
HERE = Path(__file__).parent


def size(text):
    """Bytes of a size such as 512MiB; the units are binary, as in qemu-img."""
    number = text.rstrip("iBKMGT")
    unit = text[len(number) :].removesuffix("B").removesuffix("i")
    return int(number) << (10 * " KMGT".index(unit or " "))


@dataclass(frozen=True)
class Workload:
    """A log, the size of the disk it was recorded on, and the program that is compared."""

    log: Path
    disk_bytes: int
    program: Path


@dataclass(frozen=True)
class Intervals:
    """A log cut into intervals, in a folder of its own."""

    # What replay.py left: the live extents of each interval, and two disks.
    bases: tuple
    # What the guest wrote, and what of it is alive at the end of its interval.
    written_bytes: int
    data_bytes: int
    extent_count: int
    oldest: Path
    newest: Path
    # The same intervals as segments, with what it cost to make them from the log.
    cache: Path
    segment_bytes: int
    import_cost: Cost

    def segments(self):
        return self.cache / GROUP / "main"


def cut(workload, count, folder):
    """Cuts the log into at most so many intervals of as many entries each."""
    with write_log.opened(workload.log) as log:
        every = math.ceil(log.count / count)
    replayed = json.loads(
        run(sys.executable, HERE / "replay.py", workload.log, workload.disk_bytes, every, folder)
    )
    cache = folder / "cache"
    import_cost = measured(
        workload.program, "--json", "import", "log-writes", workload.log, "--disk", DISK,
        "--size", workload.disk_bytes, "--group", GROUP, "--cache", cache, "--marker-every", every,
    )  # fmt: skip
    segments = (cache / GROUP / "main").rglob("*")
    return Intervals(
        bases=tuple(folder / interval["name"] for interval in replayed["intervals"]),
        written_bytes=replayed["written_bytes"],
        data_bytes=sum(interval["data_bytes"] for interval in replayed["intervals"]),
        extent_count=sum(interval["extents"] for interval in replayed["intervals"]),
        oldest=folder / "oldest.raw",
        newest=folder / "newest.raw",
        cache=cache,
        segment_bytes=sum(path.stat().st_size for path in segments if path.is_file()),
        import_cost=import_cost,
    )
