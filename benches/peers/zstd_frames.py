"""What zstd makes of bytes that are compressed in pieces, each for itself; by the system's library."""

import ctypes
import ctypes.util

FRAME_BYTES = 64 << 10
LEVEL = 1


class Zstd:
    """A context of the library, and room for one frame."""

    def __init__(self):
        self.library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
        self.library.ZSTD_createCCtx.restype = ctypes.c_void_p
        self.library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
        self.library.ZSTD_compressBound.restype = ctypes.c_size_t
        self.library.ZSTD_compressCCtx.argtypes = [
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
        ]  # fmt: skip
        self.library.ZSTD_compressCCtx.restype = ctypes.c_size_t
        self.library.ZSTD_isError.argtypes = [ctypes.c_size_t]
        self.context = self.library.ZSTD_createCCtx()
        self.room = ctypes.create_string_buffer(self.library.ZSTD_compressBound(FRAME_BYTES))

    def frame_bytes(self, payload):
        """Bytes of one frame; those of the payload where it does not become smaller."""
        made = self.library.ZSTD_compressCCtx(
            self.context, self.room, len(self.room), payload, len(payload), LEVEL
        )
        if self.library.ZSTD_isError(made):
            raise OSError("zstd could not compress a frame")
        return min(made, len(payload))


def compressed_bytes(paths):
    """Bytes of the frames of some files, each file cut into frames from its start on."""
    zstd = Zstd()
    total = 0
    for path in paths:
        with open(path, "rb", buffering=16 * FRAME_BYTES) as file:
            while payload := file.read(FRAME_BYTES):
                total += zstd.frame_bytes(payload)
    return total
