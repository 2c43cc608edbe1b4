"""What Apple's push service demands of a request: the token, the headers, the payload.
Reasons and statuses are those of its documentation.
"""

import json
import re
import time
import uuid

from common import Refused, decode, read_jwt

TOKEN_AGE_S_MAX = 3600
CLOCK_SKEW_S = 60
COLLAPSE_ID_BYTES_MAX = 64
PAYLOAD_BYTES_MAX = 4096
PRIORITIES = ("1", "5", "10")
PUSH_TYPES = {
    "alert", "background", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity",
    "pushtotalk", "widgets", "controls",
}
DEVICE = re.compile("([0-9a-fA-F]{2}){32,100}")
UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Rules:
    """Of one app: its team, the team's key, and its bundle's name."""

    def __init__(self, public, key_id, team_id, topic):
        self.public, self.key_id, self.team_id, self.topic = public, key_id, team_id, topic

    def check(self, headers, body):
        """Raises Refused with the reason of the first rule that is broken."""
        if headers[":method"] != "POST":
            raise Refused(405, "MethodNotAllowed")
        begin, _, device = headers[":path"].rpartition("/")
        if begin != "/3/device":
            raise Refused(404, "BadPath")
        self.check_provider(headers.get("authorization"))
        if not device:
            raise Refused(400, "MissingDeviceToken")
        if not DEVICE.fullmatch(device):
            raise Refused(400, "BadDeviceToken")
        payload = check_payload(body)
        self.check_headers(headers)
        push_type = headers.get("apns-push-type")
        if push_type == "background" and headers.get("apns-priority") == "10":
            raise Refused(400, "BadPriority")
        if push_type == "background" and payload["aps"].get("content-available") != 1:
            raise Refused(400, "InvalidPushType")
        return device

    def check_provider(self, authorization):
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(403, "MissingProviderToken")
        try:
            header = json.loads(decode(token.partition(".")[0]))
            if not isinstance(header, dict) or header.get("kid") != self.key_id:
                raise ValueError("kid is not that of the key")
            _, claims = read_jwt(token, self.public, "ES256")
            issued = claims.get("iat")
            if claims.get("iss") != self.team_id or type(issued) is not int:
                raise ValueError("iss is not the team, or iat not a whole number")
        except ValueError:
            raise Refused(403, "InvalidProviderToken") from None
        if issued > time.time() + CLOCK_SKEW_S:
            raise Refused(403, "InvalidProviderToken")
        if issued < time.time() - TOKEN_AGE_S_MAX:
            raise Refused(403, "ExpiredProviderToken")

    def check_headers(self, headers):
        topic = headers.get("apns-topic")
        if not topic:
            raise Refused(400, "MissingTopic")
        if topic != self.topic:
            raise Refused(400, "BadTopic")
        if headers.get("apns-push-type") not in PUSH_TYPES:
            raise Refused(400, "InvalidPushType")
        if not UUID.fullmatch(headers.get("apns-id", str(uuid.uuid4()))):
            raise Refused(400, "BadMessageId")
        if len(headers.get("apns-collapse-id", "").encode()) > COLLAPSE_ID_BYTES_MAX:
            raise Refused(400, "BadCollapseId")
        if not re.fullmatch("[0-9]{1,18}", headers.get("apns-expiration", "0")):
            raise Refused(400, "BadExpirationDate")
        if headers.get("apns-priority", "10") not in PRIORITIES:
            raise Refused(400, "BadPriority")


def check_payload(body):
    if not body:
        raise Refused(400, "PayloadEmpty")
    if len(body) > PAYLOAD_BYTES_MAX:
        raise Refused(413, "PayloadTooLarge")
    try:
        payload = json.loads(body)
    except ValueError:
        raise Refused(400, "PayloadNotJSON") from None
    if not isinstance(payload, dict) or not isinstance(payload.get("aps"), dict):
        raise Refused(400, "PayloadWithoutAps")
    return payload
