"""A push service for browsers (RFC 8030, 8188, 8291, 8292) that reads the messages.

Prints one JSON line {"port": N, "ca": PATH, "vapid": {"private", "public"}, "subscriptions":
{NAME: ...}} when it listens: a pair of VAPID keys made for this run, in base64url, and a
subscription for each --subscribe NAME, as a browser's PushSubscription. Without --tls
FOLDER it speaks plain HTTP and there is no "ca". GET /subscription/NAME makes a further
subscription; with ?key=PUBLIC it accepts messages of that VAPID key only. POST /push/NAME
takes a message.

A message that breaks a rule is refused with {"reason": ...}: 400, 413 too long, 401
without VAPID, 403 with a wrong one, 404 without a subscription. Every POST appends one
JSON line to the file named by --record: name, method, path, headers (names in lower
case), status, the reason of a refusal, payload (decrypted, text), claims (of the VAPID
token), at (epoch seconds).

The name says what happens to a message that keeps the rules:
  gone...          410                     slow...       no answer
  flaky/N/NAME     503 N times, then 201   wait/S/NAME   429, Retry-After: S, once; then 201
Anything else is answered 201 with a Location.
"""

import argparse
import re
import secrets
import time
from urllib.parse import parse_qs, urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from common import HANG_S, Handler, Refused, Server, Times, decode, encode, public_point, read_jwt, run

URGENCIES = ("very-low", "low", "normal", "high")
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
BODY_BYTES_MAX = 4096
TTL_S_MAX = (1 << 31) - 1
VAPID_S_MAX = 24 * 3600
CLOCK_SKEW_S = 60


class Subscription:
    """The keys of one browser."""

    def __init__(self, server_key):
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.auth = secrets.token_bytes(16)
        self.server_key = server_key

    def describe(self, endpoint):
        keys = {"p256dh": point(self.private), "auth": encode(self.auth)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}

    def decrypt(self, body):
        try:
            plain = http_ece.decrypt(
                body, private_key=self.private, auth_secret=self.auth, version="aes128gcm"
            )
            return plain.decode()
        except Exception as error:  # the library has one error type, its parsers have others
            raise Refused(400, f"the body cannot be decrypted: {error}") from None


def point(key):
    """The public key, uncompressed, in base64url."""
    return encode(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def make_subscription(server, name, server_key=None):
    subscription = server.subscriptions[name] = Subscription(server_key)
    return subscription.describe(f"{server.origin}/push/{name}")


def make_vapid_keys():
    key = ec.generate_private_key(ec.SECP256R1())
    return {"private": encode(key.private_numbers().private_value.to_bytes(32, "big")), "public": point(key)}


class Push(Handler):
    def handle_request(self):
        url = urlsplit(self.path)
        kind, _, name = url.path.lstrip("/").partition("/")
        if self.command == "GET" and kind == "subscription" and name:
            return self.subscribe(name, parse_qs(url.query).get("key", [None])[0])
        if self.command != "POST" or kind != "push":
            raise Refused(404, "POST /push/NAME or GET /subscription/NAME")
        self.noted["name"] = name
        self.take(name)
        return self.behave(name)

    def subscribe(self, name, server_key):
        return 201, make_subscription(self.server, name, server_key), {}

    def take(self, name):
        self.check_headers()
        server_key = self.check_vapid()
        subscription = self.server.subscriptions.get(name)
        if subscription is None:
            raise Refused(404, "there is no such subscription")
        if subscription.server_key not in (None, server_key):
            raise Refused(403, "the subscription belongs to another VAPID key")
        self.hand_over(subscription)

    def hand_over(self, subscription):
        """What becomes of a message that keeps the rules."""
        if self.body:
            self.noted["payload"] = subscription.decrypt(self.body)

    def check_headers(self):
        ttl = self.names.get("ttl")
        if ttl is None:
            raise Refused(400, "the header TTL is missing")
        if not re.fullmatch("[0-9]{1,10}", ttl) or int(ttl) > TTL_S_MAX:
            raise Refused(400, f"TTL {ttl!r} is not a number of seconds")
        topic = self.names.get("topic")
        if topic is not None and not TOPIC.fullmatch(topic):
            raise Refused(400, f"Topic {topic!r} is not 1 to 32 characters of base64url")
        if self.names.get("urgency", "normal") not in URGENCIES:
            raise Refused(400, f"Urgency {self.names['urgency']!r} is none of {', '.join(URGENCIES)}")
        if int(self.names.get("content-length") or 0) > BODY_BYTES_MAX:
            raise Refused(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
        if self.body and self.names.get("content-encoding") != "aes128gcm":
            raise Refused(400, f"Content-Encoding {self.names.get('content-encoding')!r} is not aes128gcm")

    def check_vapid(self):
        """The public key that signed the request."""
        scheme, _, rest = self.names.get("authorization", "").partition(" ")
        if scheme.lower() != "vapid":
            raise Refused(401, "there is no VAPID authorization", www_authenticate="vapid")
        pairs = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if set(pairs) != {"t", "k"}:
            raise Refused(401, "VAPID authorization needs t= and k=", www_authenticate="vapid")
        try:
            if len(decode(pairs["k"])) != 65:
                raise ValueError("k is not 65 bytes")
            _, claims = read_jwt(pairs["t"], public_point(pairs["k"]), "ES256")
            self.check_claims(claims)
        except ValueError as error:
            raise Refused(403, f"VAPID: {error}") from None
        self.noted["claims"] = claims
        return pairs["k"]

    def check_claims(self, claims):
        now = time.time()
        if claims.get("aud") != self.server.origin:
            raise ValueError(f"aud is {claims.get('aud')!r}, not {self.server.origin}")
        if type(claims.get("exp")) is not int:
            raise ValueError("exp is missing or not a whole number")
        if claims["exp"] <= now:
            raise ValueError("exp is over")
        if claims["exp"] > now + VAPID_S_MAX + CLOCK_SKEW_S:
            raise ValueError("exp is more than 24 hours ahead")
        subject = claims.get("sub")
        if subject is not None and not str(subject).startswith(("mailto:", "https:")):
            raise ValueError(f"sub {subject!r} begins with neither mailto: nor https:")

    def behave(self, name):
        kind, _, rest = name.partition("/")
        if kind.startswith("gone"):
            raise Refused(410, "the subscription has ended")
        if kind.startswith("slow"):
            self.note(None)
            time.sleep(HANG_S)
        amount = rest.partition("/")[0]
        if kind == "flaky" and self.server.times.next(name) <= int(amount):
            raise Refused(503, "not yet")
        if kind == "wait" and self.server.times.next(name) == 1:
            raise Refused(429, "slow down", retry_after=amount)
        message = secrets.token_hex(8)
        return 201, None, {"location": f"{self.server.origin}/message/{message}"}

    def note(self, status):
        if self.command == "POST":
            self.server.record.write(
                method=self.command, path=self.path, headers=self.names, status=status, **self.noted
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append messages to")
    parser.add_argument("--tls", metavar="FOLDER", help="speak TLS; where to put the authority's certificate")
    parser.add_argument("--subscribe", metavar="NAME", action="append", default=[])
    arguments = parser.parse_args()
    server = Server(Push, arguments.record, arguments.tls)
    server.subscriptions, server.times = {}, Times()
    subscriptions = {name: make_subscription(server, name) for name in arguments.subscribe}
    run(server, vapid=make_vapid_keys(), subscriptions=subscriptions)


if __name__ == "__main__":
    main()
