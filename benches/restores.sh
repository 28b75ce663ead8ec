#!/usr/bin/env bash
# Restores the oldest and the newest of a hundred points to a new raw file, in turns with
# `cp --sparse=always` of the raw image of the same disk and a sync, and prints both ratios.
#
#   benches/restores.sh                       1 GiB of a database-like guest that overwrites its disk
#   benches/restores.sh vm.log.zst 64GiB      a recorded log and the size of its disk
#   benches/restores.sh LOG SIZE --turns 9
#
# The time of `afterimage restore` is that of the whole process. Layers and images are in the page
# cache, and the disk has nothing left to write. Each restored file is compared byte for byte with the
# image, which another program made of the log.
set -euo pipefail

. "$(dirname "$0")/points.sh"
build
begin "${@:1:2}"
python3 benches/peers/restores.py "$log" "$disk_bytes" --program "$afterimage" --folder "$folder" "${@:3}"
