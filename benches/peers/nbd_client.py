"""Writes to an NBD server over a Unix socket, many requests under way at a time.

As much of the protocol as that takes: the handshake by export name, simple replies, and the
commands write, write zeroes, flush and disconnect.
"""

import socket
import struct
import time

INIT_MAGIC, OPTION_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
EXPORT_NAME = 1
WRITE, DISCONNECT, FLUSH, WRITE_ZEROES = 1, 2, 3, 6
CAN_WRITE_ZEROES = 1 << 6
REQUEST = struct.Struct(">IHHQQI")
REPLY = struct.Struct(">IIQ")
# qemu-nbd works on 16 requests of a client at a time; the others keep it from waiting for us.
UNDER_WAY = 32
# The longest run of zeroes of one request; its length has to fit 32 bits.
ZEROES_BYTES = 1 << 30


class NbdClient:
    def __init__(self, path, server):
        """Connects as soon as the server listens; fails where its process ends before."""
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if server.poll() is not None:
                    raise
                time.sleep(0.001)
        self.under_way = 0
        self._shake_hands()

    def write(self, start, data):
        self._request(WRITE, start, len(data), data)

    def write_zeroes(self, start, length):
        for offset in range(0, length, ZEROES_BYTES):
            self._request(WRITE_ZEROES, start + offset, min(ZEROES_BYTES, length - offset))

    def close(self):
        """Waits for all that was written to be durable, and lets the server go."""
        self._replies(self.under_way)
        self._request(FLUSH, 0, 0)
        self._replies(1)
        self.socket.sendall(REQUEST.pack(REQUEST_MAGIC, 0, DISCONNECT, 0, 0, 0))
        self.socket.close()

    def _shake_hands(self):
        if self._taken(16) != INIT_MAGIC + OPTION_MAGIC:
            raise OSError("this is no NBD server")
        (offered,) = struct.unpack(">H", self._taken(2))
        if not offered & NO_ZEROES:
            raise OSError("the NBD server is too old")
        self.socket.sendall(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
        self.socket.sendall(OPTION_MAGIC + struct.pack(">II", EXPORT_NAME, 0))
        _, flags = struct.unpack(">QH", self._taken(10))
        if not flags & CAN_WRITE_ZEROES:
            raise OSError("the NBD server cannot write zeroes")

    def _request(self, command, start, length, data=b""):
        if self.under_way == UNDER_WAY:
            self._replies(UNDER_WAY // 2)
        head = REQUEST.pack(REQUEST_MAGIC, 0, command, 0, start, length)
        sent = self.socket.sendmsg([head, data])
        if sent < len(head) + len(data):
            self.socket.sendall((head + data)[sent:])
        self.under_way += 1

    def _replies(self, count):
        for magic, error, _ in REPLY.iter_unpack(self._taken(REPLY.size * count)):
            if magic != REPLY_MAGIC or error != 0:
                raise OSError(error, "the NBD server refused a request")
        self.under_way -= count

    def _taken(self, length):
        data = bytearray()
        while len(data) < length:
            got = self.socket.recv(length - len(data))
            if not got:
                raise OSError("the NBD server went away")
            data += got
        return data
