"""Firebase Cloud Messaging, HTTP v1, with its token endpoint.

Prints one JSON line {"port": N, "key": PATH, "project": NAME, "email": NAME} when it
listens: "key" is the key file of a service account made for this run, as Google writes
it, in the folder named by --folder. POST /token gives an access token of
--expires-in seconds for an RS256 assertion of that account; POST
/v1/projects/PROJECT/messages:send takes a message. Errors have Google's form.

Every request appends one JSON line to the file named by --record: method, path, headers
(names in lower case), body, status, the reason of a refusal, at (epoch seconds).

The device token says what happens to a message that keeps the rules:
  unregistered...   404 UNREGISTERED         invalid...     400 INVALID_ARGUMENT
  quota...          429, Retry-After: 1,     unavailable... 503 UNAVAILABLE
                    once; then accepted                     once; then accepted
  revoked...        401 once for the token it came with; then accepted with a new one
Anything else is accepted.
"""

import argparse
import json
import os
import secrets
import time
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from common import Handler, Refused, Server, Times, read_jwt, run
from fcm_schema import Invalid, check_send

PROJECT = "pricedrop-test"
EMAIL = f"notifier@{PROJECT}.iam.gserviceaccount.com"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
ASSERTION_S_MAX = 3600
CLOCK_SKEW_S = 60
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
          405: "UNIMPLEMENTED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


class Google(Refused):
    """A refusal in the form of Google's APIs."""

    def __init__(self, status, reason, details=(), **headers):
        super().__init__(status, reason, **headers)
        self.details = list(details)

    def body(self):
        error = {"code": self.status, "message": self.reason, "status": STATUS[self.status]}
        if self.details:
            error["details"] = self.details
        return {"error": error}


class OAuth(Refused):
    """A refusal of the token endpoint."""

    def __init__(self, error, reason):
        super().__init__(400, reason)
        self.error = error

    def body(self):
        return {"error": self.error, "error_description": self.reason}


def fcm_error(code):
    return {"@type": FCM_ERROR, "errorCode": code}


class Fcm(Handler):
    def handle_request(self):
        if self.path == "/token" and self.command == "POST":
            return self.issue()
        parts = self.path.strip("/").split("/")
        if self.command != "POST" or parts[:2] != ["v1", "projects"] or parts[3:] != ["messages:send"]:
            raise Google(404, "The requested URL was not found on this server.")
        token = self.check_bearer()
        if parts[2] != PROJECT:
            raise Google(403, f"SenderId mismatch: {parts[2]}", [fcm_error("SENDER_ID_MISMATCH")])
        return self.send(self.read_message(), token)

    def refusal(self, refused):
        return refused.body()

    def issue(self):
        if self.names.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            raise OAuth("invalid_request", "the body must be a form")
        form = {name: values[0] for name, values in parse_qs(self.body.decode()).items()}
        if form.get("grant_type") != GRANT:
            raise OAuth("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type')}")
        try:
            header, claims = read_jwt(form.get("assertion", ""), self.server.public, "RS256")
            self.check_assertion(header, claims)
        except ValueError as error:
            raise OAuth("invalid_grant", f"Invalid JWT: {error}") from None
        token, lifetime_s = f"ya29.{secrets.token_urlsafe(24)}", self.server.expires_in
        self.server.tokens[token] = time.time() + lifetime_s
        return 200, {"access_token": token, "expires_in": lifetime_s, "token_type": "Bearer"}, {}

    def check_assertion(self, header, claims):
        now = time.time()
        if header.get("kid") not in (None, self.server.key_id):
            raise ValueError(f"kid {header.get('kid')!r} is not the key's")
        if claims.get("iss") != EMAIL:
            raise ValueError(f"iss is {claims.get('iss')!r}, not {EMAIL}")
        if claims.get("aud") != self.server.token_url:
            raise ValueError(f"aud is {claims.get('aud')!r}, not {self.server.token_url}")
        if not SCOPES & set(str(claims.get("scope", "")).split()):
            raise ValueError(f"scope {claims.get('scope')!r} does not allow messaging")
        if not all(type(claims.get(name)) is int for name in ("iat", "exp")):
            raise ValueError("iat and exp must be whole numbers")
        if claims["iat"] > now + CLOCK_SKEW_S or claims["exp"] <= now:
            raise ValueError("the assertion is not yet valid, or expired")
        if not 0 < claims["exp"] - claims["iat"] <= ASSERTION_S_MAX:
            raise ValueError(f"the assertion must live for at most {ASSERTION_S_MAX} s")

    def check_bearer(self):
        scheme, _, token = self.names.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self.server.tokens.get(token, 0) <= time.time():
            raise unauthenticated()
        return token

    def read_message(self):
        if self.names.get("content-type", "").partition(";")[0] != "application/json":
            raise Google(400, "the content type must be application/json")
        try:
            body = json.loads(self.body)
            check_send(body)
        except Invalid as invalid:
            violation = {"field": invalid.field, "description": str(invalid)}
            details = [{"@type": BAD_REQUEST, "fieldViolations": [violation]}]
            raise Google(400, f"Invalid JSON payload received. {invalid}", details) from None
        except ValueError as error:
            raise Google(400, f"Invalid JSON payload received. {error}") from None
        return body["message"]

    def send(self, message, bearer):
        device = message.get("token", "")
        if device.startswith("unregistered"):
            raise Google(404, "Requested entity was not found.", [fcm_error("UNREGISTERED")])
        if device.startswith("invalid"):
            reason = "The registration token is not a valid FCM registration token"
            violation = {"field": "message.token", "description": "Invalid registration token"}
            details = [fcm_error("INVALID_ARGUMENT"), {"@type": BAD_REQUEST, "fieldViolations": [violation]}]
            raise Google(400, reason, details)
        once = device.startswith(("quota", "unavailable", "revoked")) and self.server.times.next(device) == 1
        if once and device.startswith("quota"):
            raise Google(429, "Quota exceeded.", [fcm_error("QUOTA_EXCEEDED")], retry_after="1")
        if once and device.startswith("unavailable"):
            raise Google(503, "The service is currently unavailable.", [fcm_error("UNAVAILABLE")])
        if once:
            del self.server.tokens[bearer]
            raise unauthenticated()
        return 200, {"name": f"projects/{PROJECT}/messages/0:{secrets.token_hex(12)}"}, {}


def unauthenticated():
    reason = "Request had invalid authentication credentials. Expected OAuth 2 access token."
    return Google(401, reason, www_authenticate="Bearer")


def write_key(folder, key_id, token_url, key):
    """The key file of a service account, with the names that Google gives its fields."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = os.path.join(folder, "service-account.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({
            "type": "service_account", "project_id": PROJECT, "private_key_id": key_id,
            "private_key": pem, "client_email": EMAIL, "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": token_url,
            "universe_domain": "googleapis.com",
        }, file, indent=2)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append requests to")
    parser.add_argument("--folder", required=True, help="where to put the account's key file")
    parser.add_argument("--expires-in", type=int, default=3600, help="lifetime of an access token, seconds")
    arguments = parser.parse_args()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    server = Server(Fcm, arguments.record)
    server.public, server.key_id = key.public_key(), secrets.token_hex(20)
    server.token_url = f"{server.origin}/token"
    server.expires_in, server.tokens, server.times = arguments.expires_in, {}, Times()
    path = write_key(arguments.folder, server.key_id, server.token_url, key)
    run(server, key=path, project=PROJECT, email=EMAIL)


if __name__ == "__main__":
    main()
