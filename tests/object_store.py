"""A small S3 server with a bucket `events`, for tests of the archive."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer

BUCKET, REGION = "events", "us-east-1"


@contextmanager
def object_store() -> Iterator[str]:
    """Its URL, while it runs; who asks has keys in the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as environ:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environ.setenv(name, "testing")
        environ.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        try:
            host, port = server.get_host_and_port()
            asked = http.client.HTTPConnection(host, port)
            asked.request("POST", "/moto-api/reset")
            assert asked.getresponse().read()
            asked.request("PUT", f"/{BUCKET}")
            assert asked.getresponse().status == 200
            asked.close()
            yield f"http://{host}:{port}"
        finally:
            server.stop()
