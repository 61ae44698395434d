"""Adds a bearer to every request, for a program that cannot. It passes on a foreign Host as it is."""

import http.client
import urllib.parse

from loopback import Handler, Loopback


class Proxy(Loopback):
    """In front of one URL; its own is `url`."""

    def __init__(self, target, token):
        target = urllib.parse.urlsplit(target)
        proxy = self

        class PassOn(Handler):
            def pass_on(self):
                headers = dict(self.headers) | {"Authorization": f"Bearer {token}"}
                # Its own names stand for the server's.
                if headers.get("Host", "").rpartition(":")[2] == str(proxy.port):
                    headers["Host"] = target.netloc
                connection = http.client.HTTPConnection(target.netloc, timeout=60)
                connection.request(self.command, f"{target.path}?{target.query}", self.body(), headers)
                answer = connection.getresponse()
                text = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                connection.close()

            do_GET = do_POST = do_DELETE = do_OPTIONS = pass_on

        super().__init__(PassOn)
        self.url += target.path
