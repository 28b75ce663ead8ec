#!/usr/bin/env python3
"""Turns results.json into tables and plots.

usage: report.py RESULTS FOLDER

What is in FOLDER/benchmarks.md between the lines BEGIN and END is replaced; where there is no such file, it is made.
The plots go to FOLDER/benchmarks/.
"""

import json
import re
import statistics
import sys
from pathlib import Path

import bars
import machine

BEGIN = "<!-- peers: written by benches/peers/run, from here -->"
END = "<!-- peers: to here -->"
LIMIT = "copy"
# Folders of the run that is reported; they are gone by now and mean nothing elsewhere.
WORK_FOLDER = re.compile(r"[^\s`]*/work\.[^/\s]+/")
MIB = 1 << 20


def median(past, step, what):
    """None where the tool has no such step."""
    if step not in past[0]:
        return None
    return statistics.median(turn[step][what] for turn in past)


def seconds_and_ratio(past, limit, step):
    """Without the ratio where the limit itself failed."""
    ours = median(past, step, "seconds")
    if ours is None:
        return "-"
    if not limit:
        return f"{ours:.2f}"
    return f"{ours:.2f} ({ours / median(limit, step, 'seconds'):.1f})"


def row(results, of, key, past):
    name = results["tools"][key]["name"]
    limit = of["turns"].get(LIMIT)
    stored = statistics.median(turn["stored_bytes"] for turn in past)
    peak = max(turn[step]["peak_bytes"] for turn in past for step in ("points", "oldest", "newest") if step in turn)
    cells = [
        name,
        seconds_and_ratio(past, limit, "points"),
        f"{median(past, 'points', 'cpu_seconds'):.1f}",
        f"{stored / MIB:,.0f}",
        seconds_and_ratio(past, limit, "oldest"),
        seconds_and_ratio(past, limit, "newest"),
        f"{peak / MIB:,.0f}",
        str(len(past)),
    ]
    return f"| {' | '.join(cells)} |"


def table(results, of):
    head = [
        "tool", "durable points, s (ratio)", "CPU, s", "stored, MiB", "restore oldest, s (ratio)",
        "restore newest, s (ratio)", "peak, MiB", "turns",
    ]  # fmt: skip
    yield f"{of['intervals']} intervals, {of['data_bytes'] / MIB:,.0f} MiB in {of['extents']:,} live extents:"
    yield ""
    yield f"| {' | '.join(head)} |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for key, past in of["turns"].items():
        yield row(results, of, key, past)
    cost = of["import"]
    yield ""
    yield (
        f"The segments are {of['segment_bytes'] / MIB:,.0f} MiB. Making them from the log, which an agent does at the source "
        f"while it writes, took {cost['seconds']:.1f} s and {cost['cpu_seconds']:.1f} CPU seconds, once."
    )
    for key, why in of["failed"].items():
        yield ""
        yield f"FAILED: {results['tools'][key]['name']}: {WORK_FOLDER.sub('', why)}"


def text(results):
    log = results["log"]
    versions = [tool["version"] for tool in results["tools"].values() if tool["version"]]
    yield f"`{results['command']}` on {results['date']}: a log of {log['bytes'] / MIB:,.0f} MiB, recorded on a disk of"
    yield f"{log['disk_bytes'] / MIB:,.0f} MiB. Machine: {machine.sentence(results['machine'])}."
    yield f"Versions: {'; '.join(dict.fromkeys(versions))}."
    for of in results["runs"]:
        yield ""
        yield from table(results, of)
    for name, why in results["not_run"].items():
        yield ""
        yield f"NOT RUN: {name}: {WORK_FOLDER.sub('', why)}"
    for file, title, _, _ in PLOTS:
        yield ""
        yield f"![{title}](benchmarks/{file})"


def stored_mib(past):
    return statistics.median(turn["stored_bytes"] for turn in past) / MIB


# File, title, the value of a tool's turns, and whether the scale is logarithmic.
PLOTS = [
    ("points.svg", "Seconds to durable points", lambda past: median(past, "points", "seconds"), True),
    ("stored.svg", "MiB stored for all points", stored_mib, False),
    ("restore-oldest.svg", "Seconds to restore the oldest point", lambda past: median(past, "oldest", "seconds"), False),
    ("restore-newest.svg", "Seconds to restore the newest point", lambda past: median(past, "newest", "seconds"), False),
]


def plot(results, title, value, logarithmic):
    """A bar for each tool and number of intervals; a tool without the value has none."""
    series = [f"{of['intervals']} intervals" for of in results["runs"]]
    groups = []
    for key, tool in results["tools"].items():
        values = [value(of["turns"][key]) if key in of["turns"] else None for of in results["runs"]]
        if any(one is not None for one in values):
            groups.append((tool["name"], values))
    return bars.drawn(title, series, groups, logarithmic)


def replaced(page, lines):
    before, found_begin, rest = page.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])


def write(results, folder):
    page, plots = folder / "benchmarks.md", folder / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    lines = list(text(results))
    old = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
    page.write_text(replaced(old, lines))
    for file, title, value, logarithmic in PLOTS:
        (plots / file).write_text(plot(results, title, value, logarithmic))
    print("\n".join(lines))


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
