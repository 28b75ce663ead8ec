#!/usr/bin/env python3
"""Runs a command and writes what it cost to a file: seconds, CPU seconds, peak resident KiB.

usage: measure.py FILE COMMAND [ARGUMENT...]

CPU time and peak are of the command and all it started and waited for; the peak is that of the
largest process among them, not their sum. It is a program of its own, small on purpose: a child's
peak begins with the size of the process that it was forked from.
"""

import os
import sys
import time


def main():
    file, *command = sys.argv[1:]
    start = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - start
    with open(file, "w") as out:
        out.write(f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}\n")
    return abs(os.waitstatus_to_exitcode(status))


sys.exit(main())
