"""What a step of a tool cost, and how it is taken."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MEASURE = Path(__file__).with_name("measure.py")


class Failed(Exception):
    """A tool did not do what it was asked for; the text says what it said."""


@dataclass(frozen=True)
class Cost:
    """Seconds on the wall and of all cores, and the resident bytes of the largest process."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other):
        return Cost(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_bytes, other.peak_bytes),
        )


def run(*command, cwd=None, env=None):
    """Runs a step that is not timed, and gives its standard output."""
    return _done([str(part) for part in command], cwd, env)


def measured(*command, cwd=None, env=None):
    """Runs a step that is timed as a whole process, from its start to its end."""
    with tempfile.NamedTemporaryFile("r") as file:
        _done([sys.executable, "-IS", str(MEASURE), file.name, *map(str, command)], cwd, env)
        seconds, cpu_seconds, peak_kib = file.read().split()
    return Cost(float(seconds), float(cpu_seconds), int(peak_kib) << 10)


def measured_shell(script, *arguments, cwd=None, env=None):
    """The same of a few commands in a row; the script gets the arguments as $1, $2 and on."""
    return measured("bash", "-euo", "pipefail", "-c", script, "bash", *arguments, cwd=cwd, env=env)


def measured_worker(program, *arguments):
    """The same of a Python program beside this file, without the start of the interpreter.

    The program prints the seconds of its work. Its peak still has the interpreter in it.
    """
    with tempfile.NamedTemporaryFile("r") as file:
        command = [sys.executable, "-IS", str(MEASURE), file.name, sys.executable, str(program)]
        seconds = float(_done([*command, *map(str, arguments)], None, None))
        _, cpu_seconds, peak_kib = file.read().split()
    return Cost(seconds, float(cpu_seconds), int(peak_kib) << 10)


def _done(command, cwd, env):
    """The standard output of a command that must end well."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, complained = process.communicate()
        except BaseException:
            # All it started must be gone before what it works on is unmounted: the pipes end with the last.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    if process.returncode != 0:
        why = (complained.strip() or said.strip())[-500:]
        raise Failed(f"`{' '.join(command)}` gave {process.returncode}: {why}")
    return said


def stored_bytes(folder):
    """Bytes that the files below a folder take on their file system, as `du` counts them."""
    folder = Path(folder)
    return sum(path.lstat().st_blocks * 512 for path in [folder, *folder.rglob("*")])
