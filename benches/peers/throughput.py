#!/usr/bin/env python3
"""Guest bytes made durable as points, beside writing the live extents onto one raw file.

Called by benches/throughput.sh; see there for what is measured.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from ours_and_limit import called, cut_of, in_turns, ratio, warm
from tools.afterimage import Afterimage
from tools.limits import OneFile
from turns import compare

MEMORY = Path("/dev/shm")


def folder_in_memory(needed_bytes):
    """A folder on a file system in memory; None where it has no room for twice as much."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < 2 * needed_bytes:
        return None
    return tempfile.TemporaryDirectory(dir=MEMORY, prefix="afterimage-figures.")


def made(tool, cut, folder):
    """Seconds of all points of one turn. The newest is compared outside of them, and all is removed."""
    folder.mkdir()
    cost = tool.make_points(cut, folder)
    newest = folder / "newest.raw" if tool.keeps_points else tool.disk
    if tool.keeps_points:
        tool.restore(len(cut.bases), newest)
    compare(newest, cut.newest, f"the newest disk of {tool.name}")
    shutil.rmtree(folder)
    return cost.seconds


def measure(call, count):
    made_input, cut = cut_of(call.workload, count, call.folder)
    ours, limit = Afterimage(call.workload), OneFile(call.workload)
    memory = folder_in_memory(cut.segment_bytes)
    if memory:
        ours.cache_folder = Path(memory.name)
    for path in (cut.cache, cut.newest, made_input.name):
        warm(path)
    turn = call.folder / "turn"
    pairs = in_turns(call.turns, lambda: made(ours, cut, turn), lambda: made(limit, cut, turn))
    seconds = statistics.median(ours_seconds for ours_seconds, _ in pairs)
    where = "a file system in memory" if memory else "the page cache"
    print(
        f"throughput, {len(cut.bases)} intervals: {cut.written_bytes / 1e9:.2f} GB written by the guest in "
        f"{seconds:.3f} s = {cut.written_bytes / 1e9 / seconds:.2f} GB/s; {cut.data_bytes / 1e9:.2f} GB of them "
        f"alive, {cut.segment_bytes / 1e9:.2f} GB of segments in {where}"
    )
    ratio(f"{len(cut.bases)} durable points beside one raw file", pairs)
    if memory:
        memory.cleanup()
    made_input.cleanup()


def main():
    call = called(__doc__.splitlines()[0])
    for count in call.counts:
        measure(call, count)


main()
