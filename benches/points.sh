# What the shell benches share: a log, the points of it, disks of the points. To be sourced.
#
#   build EXAMPLE...          builds the program and examples of the benches
#   begin [LOG DISK_SIZE]     makes a folder that is removed at the end, and a log where none is given
#   points_of_log INTERVALS   imports the log cut into at most so many, and makes points of them
#   restore POINT FILE        a disk of a point as a new raw file
#
# Sets: target, afterimage, folder, log, disk_bytes, entries, group, disk.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
afterimage=$target/release/afterimage
group=figures
disk=root

build() { # EXAMPLE...
    cargo build --release --quiet --package afterimage-cli
    local example
    for example in generate_log "$@"; do
        cargo build --release --quiet --package afterimage-benches --example "$example"
    done
}

begin() { # [LOG DISK_SIZE]
    if (($# == 1)); then
        echo "usage: $0 [LOG DISK_SIZE]" >&2
        exit 2
    fi
    folder=$(mktemp -d "${TMPDIR:-$target}/afterimage-figures.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    log=${1:-$folder/log}
    disk_bytes=${2:-256MiB}
    if (($# == 0)); then
        "$target/release/examples/generate_log" --bytes 1GiB --disk "$disk_bytes" --seed 1 >"$log"
    fi
    entries=$(python3 benches/peers/write_log.py "$log")
}

points_of_log() { # INTERVALS
    "$afterimage" --json import log-writes "$log" --disk "$disk" --size "$disk_bytes" --group "$group" \
        --cache "$folder/cache" --marker-every $(((entries + $1 - 1) / $1)) >"$folder/out"
    "$afterimage" --json replicate --once --group "$group" --cache "$folder/cache" \
        --target "$folder/points" >"$folder/out"
    rm -rf "$folder/cache"
}

restore() { # POINT FILE
    "$afterimage" --json restore --group "$group" --target "$folder/points" --point "$1" --disk "$disk" \
        --to "$2" >"$folder/out"
}
