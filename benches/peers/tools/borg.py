"""Borg: no encryption, chunks of 64 KiB at fixed places, zstd 1, holes found instead of read."""

from cost import measured, measured_shell, run, stored_bytes
from tools.backup import Backup


class Borg(Backup):
    name = "Borg"
    key = "borg"
    programs = ("borg",)

    def version(self):
        return run("borg", "--version").strip()

    def environment(self):
        return {
            "BORG_BASE_DIR": str(self.folder / "borg"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }

    def create_repository(self):
        run("borg", "init", "--encryption=none", self.repository, env=self.environment())

    def back_up(self, number):
        return measured(
            "borg", "create", "--chunker-params=fixed,65536", "--compression=zstd,1", "--sparse",
            "--files-cache=disabled", f"{self.repository}::point-{number}", self.disk.name,
            cwd=self.folder, env=self.environment(),
        )  # fmt: skip

    def stored_bytes(self):
        return stored_bytes(self.repository)

    def restore(self, number, to):
        script = (
            'cd "$(dirname "$2")" && borg extract --sparse "$1" && mv disk.raw "$2" && sync "$2" "$(dirname "$2")"'
        )
        return measured_shell(script, f"{self.repository}::point-{number}", to, env=self.environment())
