"""Firefox without a screen, driven by Marionette: its own protocol, JSON with the length
before it, over a socket of 127.0.0.1.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time

PATIENCE_S = 60
PR_SET_PDEATHSIG = 1
LOG = "firefox.log"

# A browser that starts for the first time would greet, ask, and call home.
QUIET = {
    # The preferences recommended for automation switch push messages off.
    "remote.prefs.recommended": False,
    "marionette.port": 0,
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.contentblocking.introCount": 99,
    "browser.region.network.url": "",
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "browser.newtabpage.enabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
}


def wait_for(what, look):
    """Asks again until there is an answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.02)
    return found


def end_with_parent():
    """The kernel ends this process when the one that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, **more):
    """A process in a group of its own, which ends no later than this one."""
    return subprocess.Popen(command, preexec_fn=end_with_parent, start_new_session=True, **more)


def stop(process):
    """Ends a process of `start` and whatever it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def launch(program, profile, preferences):
    """The process of a browser whose profile lies in this folder."""
    write_preferences(profile, QUIET | preferences)
    command = [program, "--headless", "--marionette", "--no-remote", "--profile", profile]
    environment = {**os.environ, "HOME": profile, "MOZ_CRASHREPORTER_DISABLE": "1"}
    with open(os.path.join(profile, LOG), "wb") as log:
        return start(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class Session:
    """Drives the window of a browser that was launched with this profile."""

    def __init__(self, process, profile):
        port = wait_for("Firefox to listen", lambda: port_of(process, profile))
        self.count = 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.stream = self.socket.makefile("rb")
        self.receive()  # its greeting
        self.call("WebDriver:NewSession")

    def receive(self):
        length = b""
        while (byte := self.stream.read(1)) != b":":
            if not byte:
                raise SystemExit("Firefox hung up")
            length += byte
        return json.loads(self.stream.read(int(length)))

    def call(self, command, **parameters):
        self.count += 1
        message = json.dumps([0, self.count, command, parameters]).encode()
        self.socket.sendall(str(len(message)).encode() + b":" + message)
        _, _, error, result = self.receive()
        if error:
            raise SystemExit(f"{command}: {error['error']}: {error['message']}")
        return result

    def open(self, url):
        self.call("WebDriver:Navigate", url=url)

    def run(self, script, *arguments):
        """What the body of a function returns in the page; promises are waited for."""
        return self.call("WebDriver:ExecuteScript", script=script, args=list(arguments))["value"]

    def click(self, selector):
        """As a person does: the element must be visible."""
        found = self.call("WebDriver:FindElement", using="css selector", value=selector)["value"]
        self.call("WebDriver:ElementClick", id=next(iter(found.values())))


def port_of(process, profile):
    """Where it listens for commands; 0 as long as it does not."""
    if process.poll() is not None:
        with open(os.path.join(profile, LOG), encoding="utf-8", errors="replace") as log:
            raise SystemExit(f"Firefox ended with {process.returncode}: {log.read()[-1000:]}")
    try:
        with open(os.path.join(profile, "MarionetteActivePort"), encoding="ascii") as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0


def write_preferences(profile, preferences):
    os.makedirs(profile, exist_ok=True)
    with open(os.path.join(profile, "user.js"), "w", encoding="utf-8") as file:
        for name, value in preferences.items():
            file.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")
