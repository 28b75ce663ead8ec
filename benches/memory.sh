#!/usr/bin/env bash
# Checks that memory does not grow with the log: 5 GiB of overwrites become one point, then a
# hundred, with 256 MiB to stay under. Fails where the peak resident memory passes 400 MiB.
#
#   benches/memory.sh
#   AFTERIMAGE_MEMORY_LOG_BYTES=512MiB benches/memory.sh      smaller, for CI
#
# Needs about two and a half times the log's size below the target folder, or in TMPDIR.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
cd "$repository"
log_bytes=${AFTERIMAGE_MEMORY_LOG_BYTES:-5GiB}
disk_bytes=1GiB
memory=256MiB
limit_kib=$((400 * 1024))

cargo build --release --quiet --package afterimage-cli
cargo build --release --quiet --package afterimage-benches --example generate_log
target=${CARGO_TARGET_DIR:-target}
afterimage=$target/release/afterimage
generate_log=("$target/release/examples/generate_log" --bytes "$log_bytes" --disk "$disk_bytes" --seed 1)
peak=(python3 benches/peak.py)

folder=$(mktemp -d "${TMPDIR:-$target}/afterimage-memory.XXXXXX")
trap 'rm -rf "$folder"' EXIT
entries=$("${generate_log[@]}" --count)
failed=0

report() {
    local what=$1 kib
    kib=$(cat "$folder/peak")
    local verdict="ok"
    if ((kib > limit_kib)); then
        verdict="FAILED, the limit is $((limit_kib / 1024)) MiB"
        failed=1
    fi
    printf 'peak memory, %s: %d MiB, %s\n' "$what" $((kib / 1024)) "$verdict"
}

for intervals in 1 100; do
    cache=$folder/cache-$intervals
    points=$folder/points-$intervals
    # Rounded up, and the end of the log has a marker of its own: never more intervals than asked for.
    every=$(((entries + intervals - 1) / intervals))
    "${generate_log[@]}" |
        "${peak[@]}" "$folder/peak" "$afterimage" import log-writes - --disk root \
            --size "$disk_bytes" --group memory --cache "$cache" --marker-every "$every" >"$folder/out"
    report "import of $log_bytes, $intervals intervals"
    "${peak[@]}" "$folder/peak" "$afterimage" replicate --once --group memory --cache "$cache" \
        --target "$points" --memory "$memory" >"$folder/out"
    report "replicate of $log_bytes, $intervals intervals, --memory $memory"
    made=$("$afterimage" --json points --group memory --target "$points" |
        python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')
    due=$(((entries + every - 1) / every))
    if ((made != due)); then
        echo "FAILED: $made points were made of $due intervals"
        failed=1
    fi
    rm -rf "$cache" "$points"
done
exit "$failed"
