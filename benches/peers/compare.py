#!/usr/bin/env python3
"""Runs the same intervals of one log through Afterimage and the tools beside it.

Called by `run`, which sees to it that all is installed and built; see there for what the options mean.
Writes results.json into --out, and the tables and plots of report.py. Exits with 1 where a tool failed.
"""

import argparse
import dataclasses
import datetime
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import intervals
import machine
import report
import tools
import turns


def parsed():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("disk_size", type=intervals.size)
    parser.add_argument("--intervals", default="10,100", help="how many, as a list [default: 10,100]")
    parser.add_argument("--turns", type=int, default=5, help="medians of so many [default: 5]")
    parser.add_argument("--tools", help="keys of those to run, as a list [default: all]")
    parser.add_argument("--program", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--docs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--command", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(workload, keys, folder):
    """The tools that were asked for and can run here, and why the others cannot."""
    every = tools.all_tools(workload)
    known = [tool.key for tool in every]
    asked = keys.split(",") if keys else known
    unknown = sorted(set(asked) - set(known))
    if unknown:
        sys.exit(f"no such tool: {', '.join(unknown)}; there are {', '.join(known)}")
    # Nothing can be said of the others without the limit.
    asked.append(every[0].key)
    can_run, not_run = [], {}
    for tool in every:
        if tool.key not in asked:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as trial:
            why = tool.missing(Path(trial))
        if why:
            not_run[tool.name] = why
            print(f"NOT RUN: {tool.name}: {why}", flush=True)
        else:
            can_run.append(tool)
    return can_run, not_run


def compared(workload, can_run, call, folder):
    """One table for each number of intervals."""
    for count in map(int, call.intervals.split(",")):
        made = folder / "input"
        made.mkdir()
        cut = intervals.cut(workload, count, made)
        results, failed = turns.take(can_run, cut, call.turns, folder / "turn")
        shutil.rmtree(made)
        yield {
            "intervals": len(cut.bases),
            "data_bytes": cut.data_bytes,
            "extents": cut.extent_count,
            "segment_bytes": cut.segment_bytes,
            "import": cut.import_cost,
            "turns": results,
            "failed": failed,
        }


def main():
    call = parsed()
    # Ends as an exception does, so that loop devices and mounts are let go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    call.out.mkdir(parents=True, exist_ok=True)
    workload = intervals.Workload(call.log.resolve(), call.disk_size, call.program.resolve())
    with tempfile.TemporaryDirectory(dir=call.out, prefix="work.") as folder:
        folder = Path(folder).resolve()
        can_run, not_run = chosen(workload, call.tools, folder)
        runs = list(compared(workload, can_run, call, folder))
        results = {
            "command": call.command,
            "date": datetime.date.today().isoformat(),
            "machine": machine.described(folder),
            "log": {"name": call.log.name, "bytes": call.log.stat().st_size, "disk_bytes": call.disk_size},
            "tools": {tool.key: {"name": tool.name, "version": tool.version()} for tool in can_run},
            "not_run": not_run,
            "runs": runs,
        }
    file = call.out / "results.json"
    file.write_text(json.dumps(results, indent=1, default=dataclasses.asdict) + "\n")
    print(f"results are in {file}")
    report.write(json.loads(file.read_text()), call.docs or call.out)
    return 1 if any(of["failed"] for of in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
