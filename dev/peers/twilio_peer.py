"""Twilio's REST API: Prism validates every request against Twilio's own OpenAPI document.

Prints one JSON line {"port": N, "account": SID, "token": TEXT} when it listens. Requests
need that account and token (basic authentication); they are forwarded to Prism, whose
refusals keep their status: 422 for a wrong body, 415 for another type. What Prism accepts
is answered 201 with a message that repeats From, To and Body, because Prism's own example
is the same for all. Needs Node.js 20 and what dev/peers/setup installs.

Every request appends one JSON line to the file named by --record: method, path, headers
(names in lower case), form, status, prism (the status of Prism's answer), the reason of a
refusal, sid, at (epoch seconds).

The number in To says what happens to a request that Prism accepts:
  +15005550001   400, 21211 invalid number     +15005550009   400, 21614 not a mobile number
  +15005551610   400, 21610 unsubscribed       +15005551429   429, 20429 once, then accepted
"""

import argparse
import base64
import http.client
import os
import re
import secrets
import socket
import subprocess
import threading
from email.utils import formatdate
from urllib.parse import parse_qsl

from common import Handler, Refused, Server, Times, run

ERRORS = {
    "+15005550001": (21211, "Invalid 'To' Phone Number: +1500555XXXX"),
    "+15005550009": (21614, "'To' number is not a valid mobile number"),
    "+15005551610": (21610, "Attempt to send to unsubscribed recipient"),
}
TOO_MANY_ONCE = "+15005551429"
DOCUMENT = "@twilio/cli-core/src/services/twilio-api/twilio_api_v2010.json"
MESSAGES = re.compile(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/Messages\.json")
PRISM_S_MAX = 60


class Twilio(Handler):
    def handle_request(self):
        self.noted["form"] = form = dict(parse_qsl(self.body.decode(), keep_blank_values=True))
        path = MESSAGES.fullmatch(self.path)
        if not path or self.command != "POST":
            raise Refused(404, (20404, f"The requested resource {self.path} was not found"))
        self.check_account(path[1])
        status, body = self.ask_prism()
        if status != 201:
            self.noted["reason"] = body.decode("utf-8", "replace")
            raise Refused(status, (status, self.noted["reason"]))
        self.behave(form["To"])
        sid = self.noted["sid"] = f"SM{secrets.token_hex(16)}"
        return 201, message(path[1], sid, form), {}

    def refusal(self, refused):
        code, text = refused.reason
        self.noted.setdefault("reason", f"{code}: {text}")
        more_info = f"https://www.twilio.com/docs/errors/{code}"
        return {"code": code, "message": text, "more_info": more_info, "status": refused.status}

    def check_account(self, account):
        scheme, _, pair = self.names.get("authorization", "").partition(" ")
        expected = f"{self.server.account}:{self.server.token}".encode()
        if account != self.server.account or scheme != "Basic" or pair != base64.b64encode(expected).decode():
            raise Refused(401, (20003, "Authenticate"), www_authenticate='Basic realm="Twilio API"')

    def ask_prism(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.prism, timeout=PRISM_S_MAX)
        try:
            skipped = ("host", "connection", "content-length")
            headers = {name: value for name, value in self.names.items() if name not in skipped}
            connection.request("POST", self.path, self.body, headers)
            answer = connection.getresponse()
            self.noted["prism"] = answer.status
            return answer.status, answer.read()
        finally:
            connection.close()

    def behave(self, to):
        if to in ERRORS:
            raise Refused(400, ERRORS[to])
        if to == TOO_MANY_ONCE and self.server.times.next(to) == 1:
            raise Refused(429, (20429, "Too Many Requests"))

    def note(self, status):
        self.server.record.write(
            method=self.command, path=self.path, headers=self.names, status=status, **self.noted
        )


def message(account, sid, form):
    """The resource that Twilio answers."""
    now, root = formatdate(usegmt=True), f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    return {
        "account_sid": account, "api_version": "2010-04-01", "body": form.get("Body"),
        "date_created": now, "date_sent": None, "date_updated": now, "direction": "outbound-api",
        "error_code": None, "error_message": None, "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"), "num_media": "0", "num_segments": "1",
        "price": None, "price_unit": None, "sid": sid, "status": "queued",
        "subresource_uris": {"media": f"{root}/Media.json"}, "to": form.get("To"), "uri": f"{root}.json",
    }


def modules():
    """Where dev/peers/setup has put the packages."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "pricedrop", "peers-node", "node_modules")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def start_prism(folder):
    """Starts Prism, waits until it listens, and returns the process and its port."""
    port = free_port()
    here = os.path.dirname(os.path.abspath(__file__))
    command = ["node", os.path.join(here, "twilio", "prism.js"), "mock", "--errors", "--host", "127.0.0.1",
               "--port", str(port), os.path.join(folder, DOCUMENT)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "NODE_PATH": folder}
    )
    for line in process.stdout:
        if b"Prism is listening" in line:
            return process, port
    raise SystemExit(f"Prism ended with {process.wait()}; is Node.js 20 there, and {folder}?")


def drain(process):
    for _ in process.stdout:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append requests to")
    parser.add_argument("--modules", default=modules(), help="folder of the Node.js packages")
    arguments = parser.parse_args()
    process, port = start_prism(arguments.modules)
    threading.Thread(target=drain, args=(process,), daemon=True).start()
    server = Server(Twilio, arguments.record)
    server.prism, server.times = port, Times()
    server.account, server.token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
    run(server, account=server.account, token=server.token)


if __name__ == "__main__":
    main()
