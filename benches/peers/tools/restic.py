"""restic: its cheapest compression, no cache beside the repository.

It cannot do without encryption and finds its chunks by content only.
"""

import json

from cost import Failed, measured, measured_shell, run, stored_bytes
from tools.backup import Backup

# Restored as a stream and made sparse on the way. `restic restore` of release 0.14 writes every zero and was
# no faster.
RESTORE = (
    'restic dump --no-cache --quiet "$1" "$2" | cp --sparse=always /dev/stdin "$3"'
    ' && sync "$3" "$(dirname "$3")"'
)


class Restic(Backup):
    name = "restic"
    key = "restic"
    programs = ("restic",)

    def version(self):
        return run("restic", "version").strip()

    def environment(self):
        return {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD": "peers"}

    def create_repository(self):
        run("restic", "init", "--no-cache", "--repository-version=2", env=self.environment())

    def back_up(self, _number):
        return measured(
            "restic", "backup", "--no-cache", "--quiet", "--compression=auto", self.disk, env=self.environment()
        )

    def stored_bytes(self):
        return stored_bytes(self.repository)

    def restore(self, number, to):
        listed = run("restic", "snapshots", "--no-cache", "--json", env=self.environment())
        snapshots = sorted(json.loads(listed), key=lambda snapshot: snapshot["time"])
        if len(snapshots) < number:
            raise Failed(f"there is no snapshot {number}")
        return measured_shell(RESTORE, snapshots[number - 1]["id"], self.disk, to, env=self.environment())
