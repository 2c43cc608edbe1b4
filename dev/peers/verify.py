"""Verifies what was sent with the libraries that receivers use, none of them ours.

verify.py dkim              {"mail": base64, "records": {name: TXT record}}
verify.py standard-webhooks {"secret", "body": base64, "headers"}
verify.py web-push          {"body": base64, "private_key": base64url, "auth": base64url}
verify.py vapid             {"authorization", "audience", "public_key": base64url}

Reads JSON on standard input; prints the result as JSON, or ends with 1 and the
reason on standard error.
"""

import base64
import json
import sys
import time


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify_dkim(given):
    import dkim

    def answer(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        return given["records"].get(name.rstrip("."), "").encode() or None

    mail = base64.b64decode(given["mail"])
    if not dkim.verify(mail, dnsfunc=answer):
        raise ValueError("the signature does not hold")
    return {"verified": True}


def verify_standard_webhooks(given):
    from standardwebhooks.webhooks import Webhook

    body = base64.b64decode(given["body"])
    return Webhook(given["secret"]).verify(body, given["headers"])


def verify_web_push(given):
    import http_ece
    from cryptography.hazmat.primitives.asymmetric import ec

    number = int.from_bytes(from_base64url(given["private_key"]), "big")
    private_key = ec.derive_private_key(number, ec.SECP256R1())
    payload = http_ece.decrypt(
        base64.b64decode(given["body"]),
        private_key=private_key,
        auth_secret=from_base64url(given["auth"]),
        version="aes128gcm",
    )
    return {"payload": payload.decode()}


def verify_vapid(given):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    scheme, _, rest = given["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    if scheme != "vapid" or parts["k"] != given["public_key"]:
        raise ValueError(f"not of this key: {given['authorization']}")
    head, claims, signature = parts["t"].split(".")
    raw = from_base64url(signature)
    both = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    point = from_base64url(given["public_key"])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    key.verify(both, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    claims = json.loads(from_base64url(claims))
    if claims["aud"] != given["audience"]:
        raise ValueError(f"for {claims['aud']}")
    if not time.time() < claims["exp"] <= time.time() + 24 * 3600:
        raise ValueError(f"expires at {claims['exp']}")
    return claims


VERIFIERS = {
    "dkim": verify_dkim,
    "standard-webhooks": verify_standard_webhooks,
    "web-push": verify_web_push,
    "vapid": verify_vapid,
}

if __name__ == "__main__":
    try:
        print(json.dumps(VERIFIERS[sys.argv[1]](json.load(sys.stdin))))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
