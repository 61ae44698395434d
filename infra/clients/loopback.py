"""An HTTP server of ours on a free port of loopback, for as long as a check needs it."""

import http.server
import sys
import threading


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # Clients break connections off as they end.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class Loopback:
    """Serves until it is closed."""

    def __init__(self, handler):
        self.server = Server(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
