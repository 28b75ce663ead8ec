"""What the figures were measured on, in the words of the system."""

import os
import platform
import subprocess
from pathlib import Path


def described(folder):
    """Cores, memory, kernel, and the file system that `folder` is on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(folder),
    }


def sentence(machine):
    memory = f"{machine['memory_bytes'] / (1 << 30):.0f} GiB of memory"
    cores = f"{machine['cores']} cores of {machine['processor']}"
    return f"{cores}, {memory}, {machine['kernel']}, {machine['file_system']}"


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _file_system(folder):
    said = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True).stdout.split()
    return said[-1] if said else "an unknown file system"
