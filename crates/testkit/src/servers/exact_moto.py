"""moto's server with creates that are exact. Its own looks whether the object is there and puts it there in two
steps, so that of creates that race several may be told that they won. Arguments are those of `moto_server`."""

import functools
import sys
import threading

from moto.s3.responses import S3Response
from moto.server import main

LOCK = threading.RLock()


def one_at_a_time(method):
    @functools.wraps(method)
    def locked(*arguments, **options):
        with LOCK:
            return method(*arguments, **options)

    return locked


for name in ("put_object", "_key_response_post"):
    setattr(S3Response, name, one_at_a_time(getattr(S3Response, name)))
sys.exit(main(sys.argv[1:]))
