#!/usr/bin/env python3
"""The command on a target with many points: listing, reading one page, pruning beside the ingest.

usage: many_points.py FOLDER --program AFTERIMAGE [--turns 5]

FOLDER is what the example many_points left. Times are those of whole processes. Beside each listing and read
stands the copy of what the point list is made of, the newest manifest and all pages of points, to a new
process that does nothing with it; everything is in the page cache. No command may take more than 256 MiB.
"""

import argparse
import json
import sys
from pathlib import Path

from cost import Failed, measured, measured_shell, run
from ours_and_limit import ratio, warm

GROUP, DISK = "figures", "root"
POLICY = "2h:all,30d:2h"
PEAK_BYTES_MAX = 256 << 20
PAGE_BYTES = 4096


class Target:
    """The points in a folder, and the largest memory that a command took on them."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.points = folder / "points"
        self.peak_bytes = 0

    def call(self, *command, take=measured):
        cost = take(*command)
        self.peak_bytes = max(self.peak_bytes, cost.peak_bytes)
        return cost

    def at(self):
        return "--group", GROUP, "--target", self.points

    def listed(self):
        return json.loads(run(self.program, "--json", "points", *self.at()))

    def list_bytes(self):
        """The objects that a list of points is read from."""
        newest = max((self.points / GROUP / "manifest").iterdir())
        return [newest, *(path for path in (self.points / GROUP / "pages").rglob("*") if path.is_file())]


def turns_of(turns, ours, limit):
    """Pairs of seconds, and the largest memory of ours."""
    costs, limits = [], []
    for _ in range(turns):
        run("sync")
        costs.append(ours())
        run("sync")
        limits.append(limit())
    pairs = [(cost.seconds, of_limit.seconds) for cost, of_limit in zip(costs, limits)]
    return pairs, max(cost.peak_bytes for cost in costs)


def figure(what, turns, ours, limit):
    pairs, peak = turns_of(turns, ours, limit)
    ratio(f"{what}, peak {peak >> 20} MiB", pairs)


def read_one(target, page):
    """The cost of reading the page that a file of this name holds, compared outside of the time."""
    _, point, offset = page.name.split("-")
    to = target.folder / "read"
    command = '"$1" read --group "$2" --target "$3" --disk "$4" --point "$5" --offset "$6" --length "$7" >"$8"'
    cost = target.call(
        command, target.program, GROUP, target.points, DISK, point, offset, PAGE_BYTES, to,
        take=measured_shell,
    )  # fmt: skip
    if to.read_bytes() != page.read_bytes():
        raise Failed(f"the page at {offset} of point {point} is wrong")
    return cost


def pruned(target):
    """Prunes while the intervals that are left become points; once, since it cannot be done again."""
    before = target.listed()
    run("sync")
    cost = target.call(
        target.program, "replicate", "--once", "--group", GROUP, "--cache", target.folder / "cache",
        "--target", target.points, "--keep", POLICY, "--memory", "128MiB",
    )  # fmt: skip
    after = target.listed()
    new = after[-1]["id"] - before[-1]["id"]
    print(
        f"pruning by {POLICY} beside {new} new points: {len(before)} points and {new} become {len(after)} in "
        f"{cost.seconds:.2f} s, peak {cost.peak_bytes >> 20} MiB",
        flush=True,
    )
    # All of two hours, a minute apart, and one every two hours behind them.
    expected = 121 + (after[-1]["id"] - 121) // 120
    if abs(len(after) - expected) > 2:
        raise Failed(f"{len(after)} points were left by a policy that keeps about {expected}")
    run(target.program, "verify", *target.at(), "--sample", "1%")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=5)
    call = parser.parse_args()
    target = Target(call.program, call.folder)
    count = len(target.listed())
    warm(target.points)
    objects = target.list_bytes()

    def limit():
        return measured_shell('cat "$@" | cat >/dev/null', *objects)

    figure(
        f"afterimage points of {count}", call.turns,
        lambda: target.call(target.program, "--json", "points", *target.at()), limit,
    )  # fmt: skip
    pages = sorted(call.folder.glob("page-*"), key=lambda page: int(page.name.split("-")[1]))
    for name, page in zip(("oldest", "middle", "newest"), pages):
        what = f"afterimage read of a page of the {name} of {count} points"
        figure(what, call.turns, lambda page=page: read_one(target, page), limit)
    pruned(target)
    print(f"peak memory of all of them: {target.peak_bytes >> 20} MiB")
    if target.peak_bytes > PEAK_BYTES_MAX:
        print(f"FAILED: the limit is {PEAK_BYTES_MAX >> 20} MiB")
        return 1
    return 0


sys.exit(main())
