"""What every tool is asked for."""

import shutil

from cost import Cost


class Tool:
    """One way to keep the disk after each interval.

    A turn is `make_points`, `stored_bytes`, `restore` of the oldest and of the newest, `close`, in a folder
    that is new and empty. What a step gives as its cost is all that it needs until its result
    would survive a power cut; preparing its input is not in it.
    """

    # Name in tables and on the command line.
    name = ""
    key = ""
    # What must be installed.
    programs = ()
    # Whether it keeps points that can be restored, or is a limit that keeps only one state.
    keeps_points = True

    def __init__(self, workload):
        self.workload = workload

    def missing(self, folder):
        """Why it cannot run here; None where it can. `folder` is empty, for trying things out."""
        absent = [program for program in self.programs if shutil.which(program) is None]
        return f"{', '.join(absent)} is not installed" if absent else None

    def version(self):
        """Name and version of the program, for the report; empty where it is part of the system."""
        return ""

    def make_points(self, intervals, folder) -> Cost:
        raise NotImplementedError

    def stored_bytes(self):
        raise NotImplementedError

    def restore(self, number, to) -> Cost:
        """Makes the raw disk of point `number`, from 1, as the new file `to`."""
        raise NotImplementedError

    def close(self):
        """Lets go of all that is not a file in the folder; called after failures as well."""
