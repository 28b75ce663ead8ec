#!/usr/bin/env python3
"""Restores of the oldest and of the newest of a hundred points beside copying the raw image.

Called by benches/restores.sh; see there for what is measured.
"""

import shutil

from ours_and_limit import called, cut_of, in_turns, ratio, warm
from tools.afterimage import Afterimage
from tools.limits import PlainCopy
from turns import compare

INTERVALS = 100


def restored(tool, number, expected, to):
    """Seconds of one restore; compared and removed outside of them."""
    cost = tool.restore(number, to)
    compare(to, expected, f"point {number} of {tool.name}")
    to.unlink()
    return cost.seconds


def main():
    call = called(__doc__.splitlines()[0])
    made, cut = cut_of(call.workload, INTERVALS, call.folder)
    ours, limit = Afterimage(call.workload), PlainCopy(call.workload)
    ours.make_points(cut, call.folder)
    limit.intervals = cut
    shutil.rmtree(cut.cache)
    to = call.folder / "restored.raw"
    ratios = []
    for name, number, expected in (("oldest", 1, cut.oldest), ("newest", len(cut.bases), cut.newest)):
        warm(expected)
        warm(ours.target)
        pairs = in_turns(
            call.turns,
            lambda: restored(ours, number, expected, to),
            lambda: restored(limit, number, expected, to),
        )
        data = expected.stat().st_blocks * 512 / 1e9
        ratios.append(ratio(f"restore of the {name} of {len(cut.bases)} points, {data:.2f} GB", pairs))
    print(f"the oldest beside the newest: {ratios[0]:.2f} / {ratios[1]:.2f} = {ratios[0] / ratios[1]:.2f}")
    made.cleanup()


main()
