#!/usr/bin/env bash
# Compares the bytes of layers with the least that the same compression makes of the live bytes, for 1,
# 10 and 100 intervals, right after the ingest and again after compaction.
#
#   benches/stored.sh                       1 GiB of a database-like guest that overwrites its disk
#   benches/stored.sh vm.log.zst 64GiB      a recorded log and the size of its disk
#   benches/stored.sh LOG SIZE --intervals 10
#
# The least: the live bytes of each interval, packed in address order into frames of 64 KiB, each
# compressed by zstd 1 with the system's library, and nothing else: no index, no checksum. Compaction is
# that of `afterimage prune --keep forever`, so all points stay.
set -euo pipefail

. "$(dirname "$0")/points.sh"
build
begin "${@:1:2}"
python3 benches/peers/stored.py "$log" "$disk_bytes" --program "$afterimage" --folder "$folder" "${@:3}"
