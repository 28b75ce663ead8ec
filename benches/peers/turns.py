"""The turns: every tool once, then every tool once more, each result compared before it counts."""

import shutil
import subprocess

from cost import Failed, run

# A tool whose points take longer than this has one turn: its figure is far from the limit's noise.
ONE_TURN_SECONDS = 30.0


def take(tools, intervals, turns, folder):
    """Gives what each tool cost, as a list of turns under its key, and why those failed that did.

    A tool that fails once, or restores a disk that differs in a byte, has no times at all.
    """
    results = {tool.key: [] for tool in tools}
    failed = {}
    for turn in range(turns):
        for tool in tools:
            past = results[tool.key]
            if tool.key in failed or (past and past[0]["points"].seconds > ONE_TURN_SECONDS):
                continue
            try:
                past.append(_turn(tool, intervals, _fresh(folder)))
                print(f"{len(intervals.bases)} intervals, turn {turn + 1}: {tool.name}: {_said(past[-1])}", flush=True)
            except (Failed, OSError) as why:
                failed[tool.key] = str(why)
                print(f"FAILED: {tool.name}: {why}", flush=True)
            finally:
                tool.close()
    shutil.rmtree(folder, ignore_errors=True)
    return {key: past for key, past in results.items() if key not in failed}, failed


def _turn(tool, intervals, folder):
    run("sync")
    points = tool.make_points(intervals, folder)
    result = {"points": points, "stored_bytes": tool.stored_bytes()}
    disks = {"oldest": (1, intervals.oldest), "newest": (len(intervals.bases), intervals.newest)}
    if not tool.keeps_points:
        del disks["oldest"]
    for which, (number, expected) in disks.items():
        to = folder / "restored" / f"{which}.raw"
        to.parent.mkdir(exist_ok=True)
        run("sync")
        cost = tool.restore(number, to)
        compare(to, expected, f"the {which} point")
        to.unlink()
        if tool.keeps_points:
            result[which] = cost
    return result


def compare(restored, expected, what):
    """Byte for byte, with a program that knows nothing of any tool."""
    done = subprocess.run(["cmp", restored, expected], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{what} is wrong: {done.stdout.strip() or done.stderr.strip()}")


def _fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _said(result):
    steps = [f"{name} {cost.seconds:.2f} s" for name, cost in result.items() if name != "stored_bytes"]
    return f"{', '.join(steps)}, {result['stored_bytes'] >> 20} MiB"
