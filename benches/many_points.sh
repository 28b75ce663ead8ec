#!/usr/bin/env bash
# What ten thousand points on one target cost: committing one more, listing them, opening the oldest, a
# middle and the newest of them on a disk of 1 TiB, and pruning them while new ones are made.
#
#   benches/many_points.sh                     ten thousand
#   benches/many_points.sh --points 2000       fewer, to see that it works
#
# Fails where a command takes more than 256 MiB of memory, or a page is not what the guest wrote. See
# benches/many_points/main.rs for how commits are timed, benches/peers/many_points.py for the rest.
set -euo pipefail

. "$(dirname "$0")/points.sh"
build many_points
folder=$(mktemp -d "${TMPDIR:-$target}/afterimage-figures.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"$target/release/examples/many_points" "$folder" "$@"
python3 benches/peers/many_points.py "$folder" --program "$afterimage"
