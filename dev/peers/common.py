"""What the peers over HTTP share: recording, answers in JSON, counting, JSON Web
Tokens and certificates. What one provider does stands in that provider's peer.
"""

import base64
import json
import os
import ssl
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

HANG_S = 120
BODY_BYTES_MAX = 1 << 20


def encode(data):
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    """Base64url; raises ValueError for anything else, padding included."""
    if not set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):
        raise ValueError("not base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_jwt(token, key, algorithm):
    """Header and claims of a token that `key` signed; raises ValueError with the reason."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("the token does not have three parts")
    header, claims = (json.loads(decode(part)) for part in parts[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("header and claims must be JSON objects")
    if header.get("alg") != algorithm:
        raise ValueError(f"alg is {header.get('alg')!r}, not {algorithm}")
    signed, signature = ".".join(parts[:2]).encode(), decode(parts[2])
    try:
        if algorithm == "RS256":
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            if len(signature) != 64:
                raise ValueError(f"an ES256 signature has 64 bytes, not {len(signature)}")
            halves = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            key.verify(encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ValueError("the signature does not fit the key") from None
    return header, claims


def public_point(text):
    """The P-256 key of an uncompressed point in base64url."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(text))


def tls_context(folder, protocols=("http/1.1",)):
    """A server's context, and the file of the authority made for this run."""
    import trustme

    authority = trustme.CA()
    path = os.path.join(folder, "ca.pem")
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(list(protocols))
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context, path


class Refused(Exception):
    """The answer to a request that breaks a rule."""

    def __init__(self, status, reason, **headers):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


class Record:
    """A file of JSON lines."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def write(self, **line):
        with self.lock:
            self.file.write(json.dumps({**line, "at": time.time()}) + "\n")
            self.file.flush()


class Times:
    """How often something was asked for, by name."""

    def __init__(self):
        self.seen = Counter()
        self.lock = threading.Lock()

    def next(self, name):
        """From 1."""
        with self.lock:
            self.seen[name] += 1
            return self.seen[name]


class Handler(BaseHTTPRequestHandler):
    """Answers by `handle_request`, and records what was asked and answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self):
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(min(length, BODY_BYTES_MAX))
        self.noted = {}
        self.names = {name.lower(): value for name, value in self.headers.items()}
        try:
            status, answer, headers = self.handle_request()
        except Refused as refused:
            status, headers = refused.status, refused.headers
            answer = self.refusal(refused)
            self.noted.setdefault("reason", refused.reason)
        self.note(status)
        self.reply(status, answer, headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def refusal(self, refused):
        """The body of a refusal."""
        return {"reason": refused.reason}

    def note(self, status):
        self.server.record.write(
            method=self.command, path=self.path, headers=self.names,
            body=self.body.decode("utf-8", "replace"), status=status, **self.noted,
        )

    def reply(self, status, answer, headers):
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """On a free port of 127.0.0.1. TLS handshakes happen in the connection's thread."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, handler, record, tls=None):
        super().__init__(("127.0.0.1", 0), handler)
        self.record = Record(record)
        self.ca = None
        if tls:
            context, self.ca = tls_context(tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def origin(self):
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what the tests are about


def run(server, **hello):
    """Says hello, then serves until standard input ends."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say_hello(port=server.server_port, **({"ca": server.ca} if server.ca else {}), **hello)
    wait_for_the_end()


def say_hello(**hello):
    print(json.dumps(hello), flush=True)


def wait_for_the_end():
    """Standard input ends when the process that started this one ends."""
    sys.stdin.read()
