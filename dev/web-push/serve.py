#!/usr/bin/env python3
"""Serves the page that subscribes a browser, on localhost only.

serve.py PUBLIC_KEY [--port 8000]     PUBLIC_KEY: of VAPID, 65 bytes in base64url
"""

import argparse
import functools
import pathlib
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

FILES = {"/": "index.html", "/index.html": "index.html", "/sw.js": "sw.js"}


class Page(SimpleHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/public-key":
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("cache-control", "no-store")
            self.end_headers()
            self.wfile.write(self.server.public_key.encode())
        elif path in FILES:
            self.path = "/" + FILES[path]
            super().do_GET()
        else:
            self.send_error(404)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("public_key", help="the public key of VAPID, 65 bytes in base64url")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    handler = functools.partial(Page, directory=pathlib.Path(__file__).parent)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), handler)
    server.public_key = arguments.public_key
    print(f"open http://localhost:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
