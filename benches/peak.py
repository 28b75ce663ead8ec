#!/usr/bin/env python3
"""Runs a command and writes its peak resident memory in KiB to a file.

usage: peak.py FILE COMMAND [ARGUMENT...]

The figure is ru_maxrss of the command and all it started, the same as VmHWM of its /proc status.
Exits as the command does.
"""

import os
import resource
import subprocess
import sys


def main():
    file, *command = sys.argv[1:]
    # The maximum a child begins with is that of the process it was forked from: this one, which is
    # some 10 MiB and never counts.
    code = subprocess.run(command).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with open(file, "w") as out:
        out.write(f"{peak}\n")
    return code if code >= 0 else 128 - code


sys.exit(main())
