"""The program of the S3 server that tests start: moto's, which would look for the service of each request among all.

Arguments: the address and the port.
"""

import sys
from typing import Any

from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Handler(WSGIRequestHandler):
    """Keeps connections open, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: Any) -> None:
        """Do nothing."""


if __name__ == "__main__":
    app = create_backend_app("s3")
    make_server(sys.argv[1], int(sys.argv[2]), app, threaded=True, request_handler=Handler).serve_forever()
