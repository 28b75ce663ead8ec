#!/usr/bin/env bash
# Makes durable points of segments that are in memory, for 1, 10 and 100 intervals, in turns with writing
# the live extents of the same intervals onto one raw file, synced after each; prints what the guest
# wrote divided by our time, and the ratio of both times.
#
#   benches/throughput.sh                       1 GiB of a database-like guest that overwrites its disk
#   benches/throughput.sh vm.log.zst 64GiB      a recorded log and the size of its disk
#   benches/throughput.sh LOG SIZE --turns 9 --intervals 10
#
# The segments are on /dev/shm where it has room for them, else in the page cache; so are the extents,
# uncompressed. The time of `afterimage replicate` is that of the whole process; the writer of
# the raw file, which keeps only the last state, is timed without its start. Both end durable.
# Every turn the newest disk of both is compared with the image that another program made of the log.
set -euo pipefail

. "$(dirname "$0")/points.sh"
build
begin "${@:1:2}"
python3 benches/peers/throughput.py "$log" "$disk_bytes" --program "$afterimage" --folder "$folder" "${@:3}"
