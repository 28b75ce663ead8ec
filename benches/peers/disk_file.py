"""What Python does not offer for raw disks in files: holes, clones, and files of a given size."""

import ctypes
import fcntl
import os

KEEP_SIZE, PUNCH_HOLE = 1, 2
# The request of ioctl_ficlonerange(2) that shares a whole file.
FICLONE = 0x40049409

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def punch(file, start, length):
    """Makes a run of bytes zero by giving its space back."""
    if _libc.fallocate(file, KEEP_SIZE | PUNCH_HOLE, start, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def create(path, size):
    """A new raw disk of zeroes, open for reading and writing."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.ftruncate(file, size)
    return file


def clone(source, path):
    """A new file that shares the blocks of an open one; gives it open. As `cp --reflink=always`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.ioctl(file, FICLONE, source)
    return file


def sync_folder(path):
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def create_closed(path, size):
    os.close(create(path, size))
