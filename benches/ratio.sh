#!/usr/bin/env bash
# Compares making durable points with copying the same segments, each copy synced, in turns, and
# prints the medians and their ratio for 1, 10 and 100 intervals.
#
#   benches/ratio.sh                       1 GiB of a database-like guest that overwrites its disk
#   benches/ratio.sh vm.log.zst 512MiB     a recorded log and the size of its disk
#
# Both start from segments in the page cache and a disk that has nothing left to write. The time of
# `afterimage replicate` is that of the whole process.
set -euo pipefail

turns=5
log=${1:-}
disk_bytes=${2:-256MiB}
if [[ -n $log && $# -lt 2 ]]; then
    echo "usage: benches/ratio.sh [LOG DISK_SIZE]" >&2
    exit 2
fi
[[ -z $log ]] || log=$(realpath "$log")

repository=$(cd "$(dirname "$0")/.." && pwd)
cd "$repository"
cargo build --release --quiet --package afterimage-cli
cargo build --release --quiet --package afterimage-benches --example generate_log
target=${CARGO_TARGET_DIR:-target}
afterimage=$target/release/afterimage
folder=$(mktemp -d "${TMPDIR:-$target}/afterimage-ratio.XXXXXX")
trap 'rm -rf "$folder"' EXIT

if [[ -z $log ]]; then
    log=$folder/log
    "$target/release/examples/generate_log" --bytes 1GiB --disk "$disk_bytes" --seed 1 >"$log"
fi
import() { # CACHE [MARKER OPTIONS...]
    local cache=$1
    shift
    "$afterimage" --json import log-writes "$log" --disk root --size "$disk_bytes" --group ratio \
        --cache "$cache" "$@"
}
entries=$(import "$folder/count" | python3 -c 'import json, sys; print(json.load(sys.stdin)["entries"])')
rm -rf "$folder/count"

seconds() { # COMMAND...
    local start end
    start=$(date +%s%N)
    "$@" >"$folder/out"
    end=$(date +%s%N)
    echo "$start $end" | awk '{ printf "%.4f\n", ($2 - $1) / 1e9 }'
}
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

for intervals in 1 10 100; do
    master=$folder/master
    import "$master" --marker-every $(((entries + intervals - 1) / intervals)) >"$folder/out"
    segments=$master/ratio/main
    : >"$folder/ours" >"$folder/limit"
    for ((turn = 0; turn < turns; turn++)); do
        # The pipeline deletes what it has covered.
        cp -r --reflink=never "$master" "$folder/cache"
        sync
        seconds "$afterimage" replicate --once --group ratio --cache "$folder/cache" \
            --target "$folder/points" >>"$folder/ours"
        sync
        python3 benches/copy_durable.py "$segments" "$folder/copy" >>"$folder/limit"
        rm -rf "$folder/cache" "$folder/points" "$folder/copy"
    done
    ours=$(median "$folder/ours")
    limit=$(median "$folder/limit")
    awk -v intervals="$intervals" -v ours="$ours" -v limit="$limit" \
        'BEGIN { printf "ratio %d intervals: %.4f / %.4f = %.2f\n", intervals, ours, limit, ours / limit }'
    rm -rf "$master"
done
