"""Apple's push service: HTTP/2 over TLS, with provider tokens.

Prints one JSON line {"port": N, "ca": PATH, "key": PATH, "keyId", "teamId", "topic"} when
it listens: "key" is the .p8 file of a key made for this run. A client that does not
negotiate h2 is refused during the handshake. What a request must keep to stands in
apns_rules.py.

Every request appends one JSON line to the file named by --record: device, method, path,
headers (names in lower case), body, status, the reason of a refusal, connection (a number
per connection), at (epoch seconds).

The device token says what happens to a request that keeps the rules:
  dead...   410 Unregistered, with a timestamp     bad0...   400 BadDeviceToken
  5030...   503 ServiceUnavailable once            4290...   429 TooManyRequests once
  4030...   403 ExpiredProviderToken once
Anything else is accepted.
"""

import argparse
import itertools
import json
import os
import secrets
import socket
import ssl
import threading
import time
import uuid

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apns_rules import Rules
from common import Record, Refused, Times, say_hello, tls_context, wait_for_the_end

TOPIC = "test.shop.pricedrop"
READ_BYTES = 1 << 16
HANDSHAKE_S_MAX = 10
ONCE = {
    "5030": Refused(503, "ServiceUnavailable"),
    "4290": Refused(429, "TooManyRequests"),
    "4030": Refused(403, "ExpiredProviderToken"),
}


class Apns:
    def __init__(self, rules, record):
        self.rules, self.record, self.times = rules, record, Times()

    def answer(self, headers, body, connection):
        """Status, headers and body of the answer to one request."""
        noted, answer = {}, b""
        message_id = headers.get("apns-id", str(uuid.uuid4()).upper())
        try:
            noted["device"] = self.rules.check(headers, body)
            self.behave(noted["device"])
            status = 200
        except Refused as refused:
            status, noted["reason"] = refused.status, refused.reason
            answer = json.dumps({"reason": refused.reason, **refused.headers}).encode()
        plain = {name: value for name, value in headers.items() if not name.startswith(":")}
        self.record.write(
            method=headers[":method"], path=headers[":path"], headers=plain,
            body=body.decode("utf-8", "replace"), status=status, connection=connection, **noted,
        )
        return status, {"apns-id": message_id}, answer

    def behave(self, device):
        kind = device[:4].lower()
        if kind == "dead":
            raise Refused(410, "Unregistered", timestamp=int(time.time() * 1000))
        if kind == "bad0":
            raise Refused(400, "BadDeviceToken")
        if kind in ONCE and self.times.next(device) == 1:
            raise ONCE[kind]


class Connection:
    """One client. Its requests are answered one after another."""

    def __init__(self, stream, number, apns):
        self.stream, self.number, self.apns = stream, number, apns
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.requests = {}

    def serve(self):
        self.h2.initiate_connection()
        self.send()
        while data := self.stream.recv(READ_BYTES):
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.send()

    def send(self):
        if data := self.h2.data_to_send():
            self.stream.sendall(data)

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = (dict(event.headers), bytearray())
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in self.requests:
                self.requests[event.stream_id][1].extend(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.requests.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.requests:
            headers, body = self.requests.pop(event.stream_id)
            self.reply(event.stream_id, *self.apns.answer(headers, bytes(body), self.number))

    def reply(self, stream_id, status, headers, body):
        pairs = [(":status", str(status)), *headers.items()]
        if body:
            pairs.append(("content-type", "application/json"))
        self.h2.send_headers(stream_id, pairs, end_stream=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)


def serve_one(plain, context, number, apns):
    plain.settimeout(HANDSHAKE_S_MAX)
    try:
        with context.wrap_socket(plain, server_side=True) as stream:
            if stream.selected_alpn_protocol() != "h2":
                return  # HTTP/2 only
            stream.settimeout(None)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Connection(stream, number, apns).serve()
    except (OSError, ssl.SSLError, h2.exceptions.H2Error):
        pass  # clients that hang up are what the tests are about


def accept(listener, context, apns):
    for number in itertools.count(1):
        plain, _ = listener.accept()
        threading.Thread(target=serve_one, args=(plain, context, number, apns), daemon=True).start()


def write_key(folder, key_id, key):
    path = os.path.join(folder, f"AuthKey_{key_id}.p8")
    with open(path, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def ten_characters():
    """An id as Apple gives them."""
    return "".join(secrets.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(10))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append requests to")
    parser.add_argument("--folder", required=True, help="where to put the certificate and the key")
    arguments = parser.parse_args()
    key, key_id, team_id = ec.generate_private_key(ec.SECP256R1()), ten_characters(), ten_characters()
    apns = Apns(Rules(key.public_key(), key_id, team_id, TOPIC), Record(arguments.record))
    context, ca = tls_context(arguments.folder, ["h2"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=accept, args=(listener, context, apns), daemon=True).start()
    path = write_key(arguments.folder, key_id, key)
    say_hello(
        port=listener.getsockname()[1], ca=ca, key=path, keyId=key_id, teamId=team_id, topic=TOPIC
    )
    wait_for_the_end()


if __name__ == "__main__":
    main()
