"""The body of messages:send of Firebase Cloud Messaging, HTTP v1, as its reference
describes it, and a check that takes nothing else. As in every JSON of protocol
buffers, a field may be written in camelCase or as declared.
"""

import math
import re

DURATION = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s")
TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
RESERVED_KEYS = {"from", "notification", "message_type"}
RESERVED_BEGINNINGS = ("google.", "gcm.")
DATA_BYTES_MAX = 4096


class Invalid(Exception):
    def __init__(self, field, description):
        super().__init__(f"{field}: {description}")
        self.field, self.description = field, description


def text(value, path):
    if not isinstance(value, str):
        raise Invalid(path, "must be a string")


def flag(value, path):
    if not isinstance(value, bool):
        raise Invalid(path, "must be true or false")


def whole(value, path):
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise Invalid(path, "must be an int32")


def share(value, path):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Invalid(path, "must be a number")
    if not 0 <= value <= 1:
        raise Invalid(path, "must be in [0, 1]")


def struct(value, path):
    if not isinstance(value, dict):
        raise Invalid(path, "must be an object")


def like(pattern, words):
    def check(value, path):
        text(value, path)
        if not pattern.fullmatch(value):
            raise Invalid(path, f"must be {words}")

    return check


def one_of(*names):
    def check(value, path):
        if value not in names:
            raise Invalid(path, f"must be one of {', '.join(names)}")

    return check


def several(check_one):
    def check(value, path):
        if not isinstance(value, list):
            raise Invalid(path, "must be a list")
        for number, entry in enumerate(value):
            check_one(entry, f"{path}[{number}]")

    return check


def texts_by_name(value, path):
    struct(value, path)
    for name, entry in value.items():
        text(entry, f"{path}[{name}]")


def data(value, path):
    texts_by_name(value, path)
    for name in value:
        if name in RESERVED_KEYS or name.startswith(RESERVED_BEGINNINGS):
            raise Invalid(f"{path}[{name}]", "is a reserved key")
    if sum(len(name.encode()) + len(entry.encode()) for name, entry in value.items()) > DATA_BYTES_MAX:
        raise Invalid(path, f"is longer than {DATA_BYTES_MAX} bytes")


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def record(**fields):
    """An object with these fields, all optional, and no others."""
    known = {spelling: name for name in fields for spelling in (name, camel(name))}

    def check(value, path):
        struct(value, path)
        seen = set()
        for spelling, entry in value.items():
            name = known.get(spelling)
            if name is None:
                raise Invalid(path, f'unknown name "{spelling}": cannot find field')
            if name in seen:
                raise Invalid(f"{path}.{name}", "is given twice")
            seen.add(name)
            fields[name](entry, f"{path}.{name}" if path else name)

    return check


duration = like(DURATION, "a duration such as 3.5s")
timestamp = like(TIMESTAMP, "a time of RFC 3339")
colour = like(re.compile("#[0-9a-fA-F]{6}"), "a colour such as #rrggbb")
label = like(re.compile("[a-zA-Z0-9-_.~%]{1,50}"), "1 to 50 characters of [a-zA-Z0-9-_.~%]")

NOTIFICATION = record(title=text, body=text, image=text)

ANDROID_NOTIFICATION = record(
    title=text, body=text, icon=text, color=colour, sound=text, tag=text, click_action=text,
    body_loc_key=text, body_loc_args=several(text), title_loc_key=text, title_loc_args=several(text),
    channel_id=text, ticker=text, sticky=flag, event_time=timestamp, local_only=flag,
    notification_priority=one_of(
        "PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH",
        "PRIORITY_MAX",
    ),
    default_sound=flag, default_vibrate_timings=flag, default_light_settings=flag,
    vibrate_timings=several(duration),
    visibility=one_of("VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
    notification_count=whole,
    light_settings=record(
        color=record(red=share, green=share, blue=share, alpha=share), light_on_duration=duration,
        light_off_duration=duration,
    ),
    image=text, bypass_proxy_notification=flag,
    proxy=one_of("PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
)

ANDROID = record(
    collapse_key=text, priority=one_of("NORMAL", "HIGH"), ttl=duration, restricted_package_name=text,
    data=data, notification=ANDROID_NOTIFICATION, fcm_options=record(analytics_label=label),
    direct_boot_ok=flag, bandwidth_constrained_ok=flag, restricted_satellite_ok=flag,
)

WEBPUSH = record(
    headers=texts_by_name, data=data, notification=struct,
    fcm_options=record(link=text, analytics_label=label),
)

APNS = record(
    headers=texts_by_name, payload=struct, fcm_options=record(analytics_label=label, image=text),
    live_activity_token=text,
)

MESSAGE = record(
    name=text, data=data, notification=NOTIFICATION, android=ANDROID, webpush=WEBPUSH, apns=APNS,
    fcm_options=record(analytics_label=label), token=text, topic=text, condition=text,
)

SEND = record(validate_only=flag, message=MESSAGE)


def check_send(body):
    """Raises Invalid for anything but a request that the reference allows."""
    SEND(body, "")
    message = body.get("message")
    if message is None:
        raise Invalid("message", "is required")
    targets = [name for name in ("token", "topic", "condition") if message.get(name)]
    if len(targets) != 1:
        raise Invalid("message", f"exactly one of token, topic or condition is required, not {targets}")
