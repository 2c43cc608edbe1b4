"""A push service that a real Firefox connects to: RFC 8030 and 8292 on the one side, the
websocket protocol of Mozilla's autopush on the other. It cannot read the messages.

Prints one JSON line {"port": N, "ca": PATH, "websocket": URL, "vapid": {"private", "public"}}
when it listens: where messages are posted, what to set as Firefox's dom.push.serverURL, and a
pair of VAPID keys made for this run, in base64url. Without --tls FOLDER it takes messages by
plain HTTP and there is no "ca". POST /push/TOKEN, the endpoint that a browser was given, takes
a message and hands it to the browser.

A message that breaks a rule is refused as push_peer.py refuses it; 410 follows when the browser
has unsubscribed, 503 when it is not connected. Every POST appends one JSON line to the file
named by --record: name (the token), method, path, headers (names in lower case), status, the
reason of a refusal, claims (of the VAPID token), version, at (epoch seconds). So does everything
that a browser says, with its messageType; an "ack" names the version and code 100 if the
service worker got the message, 101 if it could not be decrypted, 102 if it was not delivered;
a "nack" with 301 to 303 follows when the service worker failed.
"""

import argparse
import contextlib
import json
import secrets
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from common import Refused, Server, encode, run
from push_peer import Push, make_vapid_keys

SUBPROTOCOL = "push-notification"


class Subscription:
    """A channel of a browser; `server_key` is the only VAPID key whose messages it takes."""

    def __init__(self, browser, channel, server_key):
        self.browser, self.channel, self.server_key = browser, channel, server_key
        self.ended = False

    def message(self, version, body, encoding):
        message = {"messageType": "notification", "channelID": self.channel, "version": version}
        if body:
            message |= {"data": encode(body), "headers": {"encoding": encoding}}
        return message


class Autopush(Push):
    """Where messages are posted."""

    def subscribe(self, name, server_key):
        raise Refused(404, "browsers subscribe by the websocket")

    def hand_over(self, subscription):
        if subscription.ended:
            raise Refused(410, "the subscription has ended")
        version = self.noted["version"] = secrets.token_hex(16)
        message = subscription.message(version, self.body, self.names.get("content-encoding"))
        try:
            self.server.sockets[subscription.browser].send(json.dumps(message))
        except ConnectionClosed:
            raise Refused(503, "the browser is not connected") from None


class Conversation:
    """What one connection of a browser says, and is answered."""

    def __init__(self, server, socket):
        self.server, self.socket, self.browser = server, socket, None

    def go_on(self):
        # Browsers may end without a word.
        with contextlib.suppress(ConnectionClosed):
            for text in self.socket:
                self.take(json.loads(text))

    def take(self, said):
        # {} is a ping, and is answered by the same.
        answer = self.answer(said) if said else {}
        if said:
            self.server.record.write(**said)
        if answer is not None:
            self.socket.send(json.dumps(answer))

    def answer(self, said):
        """None for what is not answered, such as acknowledgements."""
        kind, channel = said.get("messageType"), said.get("channelID")
        if kind == "hello":
            about = {"uaid": self.greet(said.get("uaid")), "use_webpush": True, "broadcasts": {}}
        elif kind == "register":
            about = {"channelID": channel, "pushEndpoint": self.register(channel, said.get("key"))}
        elif kind == "unregister":
            about = {"channelID": channel}
            self.unregister(channel)
        else:
            return None
        return {"messageType": kind, "status": 200, **about}

    def greet(self, browser):
        """The name of the browser: a new one, or its own when it connects again."""
        self.browser = browser or secrets.token_hex(16)
        self.server.sockets[self.browser] = self.socket
        return self.browser

    def register(self, channel, server_key):
        """The endpoint of a new subscription."""
        token = secrets.token_urlsafe(24)
        key = server_key and server_key.rstrip("=")
        self.server.subscriptions[token] = Subscription(self.browser, channel, key)
        return f"{self.server.origin}/push/{token}"

    def unregister(self, channel):
        for subscription in list(self.server.subscriptions.values()):
            if subscription.channel == channel:
                subscription.ended = True


def listen(server):
    """Where browsers connect."""
    browsers = serve(
        lambda socket: Conversation(server, socket).go_on(), "127.0.0.1", 0, subprotocols=[SUBPROTOCOL]
    )
    threading.Thread(target=browsers.serve_forever, daemon=True).start()
    return f"ws://127.0.0.1:{browsers.socket.getsockname()[1]}/"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append messages to")
    parser.add_argument("--tls", metavar="FOLDER", help="speak TLS; where to put the authority's certificate")
    arguments = parser.parse_args()
    server = Server(Autopush, arguments.record, arguments.tls)
    server.subscriptions, server.sockets = {}, {}
    run(server, websocket=listen(server), vapid=make_vapid_keys())


if __name__ == "__main__":
    main()
