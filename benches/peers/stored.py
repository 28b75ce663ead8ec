#!/usr/bin/env python3
"""Bytes of layers beside what zstd alone makes of the live bytes.

Called by benches/stored.sh; see there for what is measured.
"""

import extents
from cost import run
from intervals import GROUP
from ours_and_limit import called, cut_of
from tools.afterimage import Afterimage
from turns import compare
from zstd_frames import compressed_bytes


def layer_bytes(target):
    """Bytes of the layers that are there, frames and indexes, and how many there are."""
    sizes = [path.stat().st_size for path in (target / GROUP / "layers").rglob("*") if path.is_file()]
    if not sizes:
        raise FileNotFoundError(f"there are no layers below {target}")
    return sum(sizes), len(sizes)


def check_newest(tool, cut, to):
    tool.restore(len(cut.bases), to)
    compare(to, cut.newest, "the newest point")
    to.unlink()


def line(when, count, target, least):
    stored, layers = layer_bytes(target)
    print(
        f"ratio stored bytes, {count} intervals, {when}: {stored / 1e6:.1f} / {least / 1e6:.1f} MB = "
        f"{stored / least:.3f} in {layers} layers",
        flush=True,
    )


def main():
    call = called(__doc__.splitlines()[0])
    for count in call.counts:
        made, cut = cut_of(call.workload, count, call.folder)
        least = compressed_bytes(extents.payload_path(base) for base in cut.bases)
        ours = Afterimage(call.workload)
        folder = call.folder / f"points-{count}"
        folder.mkdir()
        ours.make_points(cut, folder)
        check_newest(ours, cut, folder / "newest.raw")
        line("after ingest", len(cut.bases), ours.target, least)
        run(
            call.workload.program, "prune", "--group", GROUP, "--target", ours.target,
            "--keep", "forever", "--take-over",
        )  # fmt: skip
        check_newest(ours, cut, folder / "newest.raw")
        line("after compaction", len(cut.bases), ours.target, least)
        made.cleanup()


main()
