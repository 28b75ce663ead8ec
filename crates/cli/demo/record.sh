#!/bin/bash
# Records the demo log: every write of an ext4 file system that carries a small order book.
#
#   record.sh OUT.log        (as root)
#
# The layers, from the disk up:
#
#   disk                     64 MiB, sparse: OUT.log.final.raw, so that it stays as the last state
#   qemu-storage-daemon      `blklogwrites` logs what passes in completion order; exported over NBD
#   nbdfuse                  makes the export a file and, unlike QEMU's own FUSE export, passes a
#                            punched hole on as a discard
#   loop device              makes the file a disk; ext4 goes onto it, workload.py onto that
#
# Replaying OUT.log onto zeroes gives OUT.log.final.raw, byte for byte; the script does not check that.
# Needs Debian's qemu-utils, libnbd-bin, e2fsprogs, util-linux, and python3 with its sqlite3 module.
set -euo pipefail

[ $# = 1 ] || { echo "usage: $0 OUT.log" >&2; exit 2; }
here=$(dirname "$(realpath "$0")")
log=$(realpath -m "$1")
disk=$log.final.raw
work=$(mktemp -d -t orders.XXXXXX)
mount=$work/book
loop='' daemon='' bridge=''

# Top down, each layer only if it was reached: also the way out of a failed recording.
dismantle() {
  if mountpoint -q "$mount"; then umount "$mount"; fi
  if [ -n "$loop" ]; then losetup --detach "$loop"; fi
  if mountpoint -q "$work/export"; then umount "$work/export"; fi
  if [ -n "$bridge" ]; then wait "$bridge" || true; fi
  if [ -n "$daemon" ]; then kill "$daemon" || true; wait "$daemon" || true; fi
  rm -rf "$work"
}
trap dismantle EXIT

# Waits for the file that a daemon writes once it is ready; gives up when the daemon has ended.
ready() {
  while [ ! -s "$2" ]; do
    kill -0 "$1" || exit 1
    sleep 0.1
  done
}

mkdir "$mount"
rm -f "$log" "$disk"
truncate --size 64M "$disk"
: > "$log"
: > "$work/export"

# discard=unmap on both nodes, or QEMU drops discards before they are logged.
qemu-storage-daemon \
  --blockdev driver=file,node-name=disk,filename="$disk",discard=unmap \
  --blockdev driver=file,node-name=log,filename="$log" \
  --blockdev driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=512,discard=unmap \
  --nbd-server addr.type=unix,addr.path="$work/nbd" \
  --export type=nbd,id=export,node-name=logged,name=disk,writable=on \
  --pidfile "$work/daemon.pid" &
daemon=$!
ready "$daemon" "$work/daemon.pid"
nbdfuse --pidfile "$work/bridge.pid" "$work/export" "nbd+unix:///disk?socket=$work/nbd" &
bridge=$!
ready "$bridge" "$work/bridge.pid"

# 1 KiB blocks: most extents then are not aligned to 4 KiB, as on many real guests.
loop=$(losetup --find --show "$work/export")
mkfs.ext4 -q -F -b 1024 -L orders "$loop"
mount -o noatime,discard "$loop" "$mount"
python3 "$here/workload.py" "$mount"
fstrim "$mount"
sync
