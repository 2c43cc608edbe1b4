"""An SMTP server with STARTTLS and AUTH that fails by recipient name, and
writes down every mail.

Prints one JSON line {"port": N, "ca": PATH} when it listens (the certificate is
for localhost, of an authority made for this run) and appends one JSON line per
accepted mail to the file named by --record: from, to, user, tls, headers, parts, raw_base64.

The recipient's local part says what happens:
  busy-N-NAME   451 N times, then accepted
  moving-N-NAME 550 N times, then accepted
  full          452 at RCPT       nobody       550 at RCPT
  refused       554 after DATA    drop         the connection is cut after DATA
  hang          no answer to DATA closing      421 at RCPT
Anything else is accepted. With --auth USER:PASSWORD mail needs AUTH, and AUTH
needs TLS; with --no-starttls the server has no STARTTLS.
"""

import argparse
import asyncio
import base64
import json
import logging
import pathlib
import ssl
import sys
from collections import Counter
from email import message_from_bytes, policy

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HANG_S = 120


class Handler:
    def __init__(self, record):
        self.record = record
        self.seen = Counter()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.partition("@")[0]
        passing = {"busy": "451 4.3.0 busy, try again", "moving": "550 5.1.1 no such mailbox yet"}
        kind, *times = name.split("-")
        if kind in passing:
            self.seen[name] += 1
            if self.seen[name] <= int(times[0]):
                return passing[kind]
        answers = {
            "full": "452 4.2.2 mailbox full",
            "nobody": "550 5.1.1 no such mailbox",
            "closing": "421 4.3.2 closing down",
        }
        if name in answers:
            return answers[name]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        names = {address.partition("@")[0] for address in envelope.rcpt_tos}
        if "hang" in names:
            await asyncio.sleep(HANG_S)
        if "drop" in names:
            server.transport.abort()
            return "421 gone"
        if "refused" in names:
            return "554 5.7.1 message refused"
        self.write(session, envelope)
        return "250 2.0.0 accepted"

    def write(self, session, envelope):
        mail = message_from_bytes(envelope.original_content, policy=policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        line = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "tls": session.ssl is not None,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "raw_base64": base64.b64encode(envelope.original_content).decode(),
            "parts": [[part.get_content_type(), part.get_content()] for part in parts],
        }
        self.record.write(json.dumps(line) + "\n")
        self.record.flush()


def authenticator(expected):
    def authenticate(server, session, envelope, mechanism, data):
        given = isinstance(data, LoginPassword) and f"{data.login.decode()}:{data.password.decode()}"
        if given == expected:
            return AuthResult(success=True, auth_data=data)
        # handled=True, as documented, leaves the client waiting for an answer.
        return AuthResult(success=False, handled=False)

    return authenticate


def certificate(folder):
    authority = trustme.CA()
    path = pathlib.Path(folder) / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return path, context


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append mails to")
    parser.add_argument("--folder", required=True, help="where to put the authority's certificate")
    parser.add_argument("--auth", metavar="USER:PASSWORD")
    parser.add_argument("--no-starttls", action="store_true")
    arguments = parser.parse_args()
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns of its own deprecations
    ca, context = certificate(arguments.folder)
    handler = Handler(open(arguments.record, "a", encoding="utf-8"))

    def session():
        return SMTP(
            handler,
            hostname="localhost",
            tls_context=None if arguments.no_starttls else context,
            auth_required=bool(arguments.auth),
            authenticator=authenticator(arguments.auth),
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "ca": str(ca)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # ends with whoever started it


if __name__ == "__main__":
    asyncio.run(main())
