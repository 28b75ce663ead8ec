#!/usr/bin/env python3
"""Ingest and restore with cache and points on a loopback S3 server, beside moving the same objects with
`object_store` alone, in turns; and both again with latency added to each request. A restore is compared with a
copy of the restored disk by `cp` besides, which reads it from memory, looks for zeroes, and writes it.

    benches/servers.py [--turns 3] [--bytes 6GiB] [--disk 4GiB] [--latency-ms 100]

Alone, ingest is each object of the cache fetched and stored again, a restore each layer fetched and written to a
file of its own, which are durable at the end: as many at once as ours.

Needs what `.ci/servers` installs, and installs it. Prints lines that begin with `ratio`.
"""

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
RELEASE = TARGET / "release"
SERVERS = TARGET / "servers"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def seconds(*command):
    """Seconds and peak resident MiB of a command."""
    began = time.monotonic()
    pid = os.posix_spawn(str(command[0]), [str(word) for word in command], os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed: {status}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def moved(endpoint, *places):
    return float(run(RELEASE / "examples/move_objects", "--endpoint", endpoint, "--bucket", "bucket", *places).split()[0])


def forget(endpoint, prefix):
    run(RELEASE / "examples/move_objects", "--endpoint", endpoint, "--bucket", "bucket", "--from", prefix, "--forget")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--bytes", default="6GiB")
    parser.add_argument("--disk", default="4GiB")
    parser.add_argument("--latency-ms", type=int, default=100)
    arguments = parser.parse_args()
    run("cargo", "build", "--release", "--quiet", "--package", "afterimage-cli", cwd=ROOT)
    for example in ("generate_log", "move_objects", "fault_proxy"):
        run("cargo", "build", "--release", "--quiet", "--package", "afterimage-benches", "--example", example, cwd=ROOT)
    run(ROOT / ".ci/servers", SERVERS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    server = subprocess.Popen(
        [SERVERS / "moto/bin/python3", ROOT / "crates/testkit/src/servers/exact_moto.py", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    proxy = subprocess.Popen(
        [RELEASE / "examples/fault_proxy", f"127.0.0.1:{port}", "--latency-ms", str(arguments.latency_ms)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        while True:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                raise SystemExit("moto does not start")
            time.sleep(0.1)
        run("python3", ROOT / "crates/testkit/src/servers/create_bucket.py", f"http://127.0.0.1:{port}", "-", "-", "bucket")
        delayed = proxy.stdout.readline().strip()
        with tempfile.TemporaryDirectory(dir=TARGET) as folder:
            measure(Path(folder), f"http://127.0.0.1:{port}", f"http://{delayed}", arguments)
    finally:
        proxy.stdin.close()
        proxy.wait()
        server.kill()
        server.wait()


def measure(folder, direct, delayed, arguments):
    log = folder / "log"
    with log.open("wb") as out:
        subprocess.run([RELEASE / "examples/generate_log", "--bytes", arguments.bytes, "--disk", arguments.disk, "--seed", "1"],
                       check=True, stdout=out)
    afterimage = RELEASE / "afterimage"

    def url(endpoint, prefix):
        return f"s3://bucket/{prefix}?region=us-east-1&endpoint={endpoint}"

    sides = {"ingest": [], "ingest alone": [], "restore": [], "restore alone": [], "copy": [], "ingest delayed": [], "restore delayed": []}
    peaks = []
    for turn in range(arguments.turns):
        for name, endpoint in (("", direct), (" delayed", delayed)):
            cache, points = f"cache{turn}{name.strip()}", f"points{turn}{name.strip()}"
            run(afterimage, "import", "log-writes", log, "--disk", "root", "--size", arguments.disk, "--group", "g",
                "--cache", url(direct, cache), "--marker-every", "6500")
            if not name:
                sides["ingest alone"].append(moved(direct, "--from", f"{cache}/g/main", "--to", f"copied{turn}"))
            took, peak = seconds(afterimage, "replicate", "--once", "--group", "g", "--compact-rate", "off", "--memory", "256MiB",
                                 "--cache", url(endpoint, cache), "--target", url(endpoint, points))
            sides[f"ingest{name}"].append(took)
            peaks.append(peak)
            # As `replicate` leaves it once it has caught up.
            run(afterimage, "prune", "--group", "g", "--target", url(direct, points), "--keep", "forever", "--take-over")
            if not name:
                sides["restore alone"].append(moved(direct, "--from", f"{points}/g/layers", "--to-folder", folder / "alone"))
            disk = folder / "disk.raw"
            took, peak = seconds(afterimage, "restore", "--group", "g", "--target", url(endpoint, points), "--point", "latest",
                                 "--disk", "root", "--to", disk)
            sides[f"restore{name}"].append(took)
            peaks.append(peak)
            if not name:
                run("sh", "-c", 'cat "$0" > /dev/null', disk)
                began = time.monotonic()
                run("cp", "--sparse=always", disk, folder / "copy.raw")
                run("sync", folder / "copy.raw")
                sides["copy"].append(time.monotonic() - began)
                (folder / "copy.raw").unlink()
            disk.unlink()
            # The server keeps all in memory.
            for prefix in (cache, points, f"copied{turn}"):
                forget(direct, prefix)
    middle = {name: statistics.median(times) for name, times in sides.items()}
    for what in ("ingest", "restore"):
        alone, ours, late = middle[f"{what} alone"], middle[what], middle[f"{what} delayed"]
        print(f"ratio {what}: throughput {alone / ours:.2f} of object_store alone ({ours:.2f} s and {alone:.2f} s)")
        print(f"ratio {what} with {arguments.latency_ms} ms a request: throughput {ours / late:.2f} of that without ({late:.2f} s)")
    copied, ours = middle["copy"], middle["restore"]
    print(f"ratio restore: throughput {copied / ours:.2f} of cp --sparse=always of the disk and a sync ({copied:.2f} s)")
    print(f"peak resident memory of all commands: {max(peaks):.0f} MiB, --memory 256MiB")


if __name__ == "__main__":
    main()
