#!/usr/bin/env bash
# Reads single pages of 4 KiB of the oldest, a middle and the newest of a hundred points through the
# library, in turns with pread of a raw file that holds the same, with nothing in memory and with all.
#
#   benches/random_reads.sh                       1 GiB of a database-like guest that overwrites its disk
#   benches/random_reads.sh vm.log.zst 64GiB      a recorded log and the size of its disk
#   benches/random_reads.sh LOG SIZE OPTIONS...   options of the example random_reads, as --reads 5000
#
# Layers and raw files are on the disk of the target folder, or of TMPDIR. Only their own pages are
# dropped from the page cache, so nobody else's reads become slower.
set -euo pipefail

. "$(dirname "$0")/points.sh"
build random_reads
begin "${@:1:2}"
points_of_log 100
arguments=()
for point in 1 50 100; do
    restore "$point" "$folder/$point.raw"
    arguments+=("$point=$folder/$point.raw")
done
"$target/release/examples/random_reads" --target "$folder/points" --group "$group" --disk "$disk" \
    "${arguments[@]}" "${@:3}"
