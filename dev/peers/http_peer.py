"""An HTTP server that misbehaves by path, and writes down every request.

Prints one JSON line {"port": N} when it listens (with --tls FOLDER also "ca": the
certificate of the authority made for this run, for localhost), and appends one JSON line per
request to the file named by --record: method, path, headers (names in lower
case), body, body_base64, connection (a number per connection), at (epoch seconds).

  /ok              200 "ok"                  /status/N        N
  /slow-headers    never answers             /slow-body       200, then the body never ends
  /reset           resets the connection     /half            200, half of the promised body, then closes
  /giant           200 and 64 MiB            /garbage         not HTTP at all
  /retry-seconds   429, Retry-After: 7       /retry-date      429, Retry-After: a date 7 s ahead
  /flaky/N/NAME    503 N times, then 200     /redirect        302 to /ok
  /wait/S/NAME     429, Retry-After: S, once; then 200
  /push/NAME       201, Location: /message/NAME  /token     an OAuth 2.0 token: token-1, token-2, ...
  /bearer/TOKEN    200 to this bearer token, else 401
  /answer/N/TEXT   N with this text          /              as ntfy answers a message; a topic
                                             flaky-N-NAME fails N times with 503, forbidden... with 403
"""

import argparse
import base64
import itertools
import json
import os
import socket
import struct
import sys
import threading
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG_S = 120
connections = itertools.count(1)
tokens = itertools.count(1)
lock = threading.Lock()
seen = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.number = next(connections)

    def answer(self):
        self.body = body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.record(body)
        name, _, rest = self.path.lstrip("/").partition("/")
        behave = getattr(self, "do_" + name.replace("-", "_").partition("?")[0], None)
        if behave:
            behave(rest)
        else:
            self.reply(404, b"no such behaviour")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def record(self, body):
        line = json.dumps({
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode("utf-8", "replace"),
            "body_base64": base64.b64encode(body).decode(),
            "connection": self.number,
            "at": time.time(),
        })
        with lock:
            self.server.record.write(line + "\n")
            self.server.record.flush()

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_ok(self, _):
        self.reply(200, b"ok")

    def do_(self, _):
        kind, *rest = json.loads(self.body or b"{}").get("topic", "").split("-")
        if kind == "flaky" and self.count("-".join(rest)) <= int(rest[0]):
            self.reply(503, b'{"code":50301,"http":503}', content_type="application/json")
        elif kind == "forbidden":
            self.reply(403, b'{"code":40301,"http":403,"error":"forbidden"}', content_type="application/json")
        else:
            self.reply(200, b'{"id":"m1","event":"message"}', content_type="application/json")

    def do_answer(self, rest):
        code, _, text = rest.partition("/")
        self.reply(int(code), text.encode())

    def do_push(self, name):
        self.reply(201, location="/message/" + name)

    def do_token(self, _):
        token = {"access_token": f"token-{next(tokens)}", "token_type": "Bearer", "expires_in": 3600}
        self.reply(200, json.dumps(token).encode(), content_type="application/json")

    def do_bearer(self, wanted):
        """200 to this token alone."""
        good = self.headers.get("authorization") == "Bearer " + wanted
        self.reply(200 if good else 401, b"" if good else b"token expired")

    def do_status(self, code):
        self.reply(int(code), b"as you wish")

    def do_slow_headers(self, _):
        time.sleep(HANG_S)

    def do_slow_body(self, _):
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"so far")
        self.wfile.flush()
        time.sleep(HANG_S)

    def do_reset(self, _):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_now()

    def do_half(self, _):
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 50)
        self.close_now()

    def do_giant(self, _):
        self.send_response(200)
        self.send_header("content-length", str(64 << 20))
        self.end_headers()
        for _ in range(64):
            self.wfile.write(b"x" * (1 << 20))

    def do_garbage(self, _):
        self.wfile.write(b"\x00\xffthis is no HTTP\r\n\r\n")
        self.close_now()

    def do_retry_seconds(self, _):
        self.reply(429, b"slow down", retry_after="7")

    def do_retry_date(self, _):
        self.reply(429, b"slow down", retry_after=formatdate(time.time() + 7, usegmt=True))

    def count(self, name):
        """How often this name was asked for, from 1."""
        with lock:
            seen[name] += 1
            return seen[name]

    def do_flaky(self, rest):
        times, _, name = rest.partition("/")
        failed = self.count(name) <= int(times)
        self.reply(503 if failed else 200, b"not yet" if failed else b"ok")

    def do_wait(self, rest):
        seconds, _, name = rest.partition("/")
        if self.count(name) == 1:
            self.reply(429, b"slow down", retry_after=seconds)
        else:
            self.reply(200, b"ok")

    def do_redirect(self, _):
        self.reply(302, b"", location=f"http://{self.headers['host']}/ok")

    def close_now(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what the tests are about


def speak_tls(server, folder):
    import ssl

    import trustme

    authority = trustme.CA()
    path = os.path.join(folder, "ca.pem")
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append requests to")
    parser.add_argument("--tls", metavar="FOLDER", help="speak TLS; where to put the authority's certificate")
    arguments = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    server.record = open(arguments.record, "a", encoding="utf-8")
    hello = {"port": server.server_port}
    if arguments.tls:
        hello["ca"] = speak_tls(server, arguments.tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(hello), flush=True)
    sys.stdin.read()  # ends with whoever started it


if __name__ == "__main__":
    main()
