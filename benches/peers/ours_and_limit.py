"""What the programs share that put Afterimage beside a limit: how they are called, turns, lines."""

import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import intervals
from cost import run

PIECE_BYTES = 16 << 20


def called(description):
    """The workload, the number of turns, and a folder to work in, which the caller removes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("log", type=Path)
    parser.add_argument("disk_size", type=intervals.size)
    parser.add_argument("--turns", type=int, default=5, help="medians of so many [default: 5]")
    parser.add_argument("--intervals", default="1,10,100", help="how many, as a list, where they matter")
    parser.add_argument("--program", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, required=True, help=argparse.SUPPRESS)
    call = parser.parse_args()
    # Ends as an exception does, so that what is elsewhere is removed too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    call.workload = intervals.Workload(call.log.resolve(), call.disk_size, call.program.resolve())
    call.counts = [int(count) for count in call.intervals.split(",")]
    return call


def cut_of(workload, count, folder):
    """The log cut into intervals, in a folder that ends with the `with`."""
    made = tempfile.TemporaryDirectory(dir=folder, prefix="input.")
    return made, intervals.cut(workload, count, Path(made.name))


def in_turns(turns, ours, limit):
    """Seconds of both, one after the other in each turn; before each the system writes out all it has."""
    pairs = []
    for _ in range(turns):
        run("sync")
        our_seconds = ours()
        run("sync")
        pairs.append((our_seconds, limit()))
    return pairs


def ratio(what, pairs):
    """Prints the medians of both and their ratio, which it gives."""
    ours, limit = (statistics.median(seconds) for seconds in zip(*pairs))
    print(f"ratio {what}: {ours:.4f} / {limit:.4f} = {ours / limit:.2f}", flush=True)
    return ours / limit


def warm(path):
    """Reads a file, or all files below a folder, so that they are in the page cache."""
    path = Path(path)
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with file.open("rb", buffering=0) as reader:
                while reader.read(PIECE_BYTES):
                    pass
