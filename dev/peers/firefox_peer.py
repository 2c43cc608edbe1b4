"""A real Firefox, without a screen, on the page of dev/web-push: subscribed to push messages.

Prints one JSON line {"port": N, "subscription": {...}} once the page has subscribed: where
the page is served, and the subscription that it shows. Appends one JSON line to the file
named by --record for every notification that its service worker shows: title, body, tag, data,
at (epoch seconds). A line of standard input is a CSS selector: what to click on the page.
The profile lies in --folder. Ends with standard input, and Firefox with it.

Firefox is the program that PRICEDROP_FIREFOX names, or firefox-esr or firefox of the PATH.
"""

import argparse
import contextlib
import json
import os
import queue
import shlex
import shutil
import subprocess
import sys
import threading

from common import Record, say_hello
from marionette import Session, launch, start, stop, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "web-push", "serve.py")
LOOK_S = 0.05
SHOWN = """
    const part = ({ title, body, tag, data }) => ({ title, body, tag, data });
    return navigator.serviceWorker.ready
        .then((worker) => worker.getNotifications())
        .then((all) => all.map(part));
"""


def program():
    named = os.environ.get("PRICEDROP_FIREFOX")
    for name in [named] if named else ["firefox-esr", "firefox"]:
        if path := shutil.which(name):
            return path
    raise SystemExit("there is no Firefox: run dev/peers/setup")


def preferences(websocket):
    return {
        "dom.push.enabled": True,
        "dom.push.connection.enabled": True,
        "dom.push.serverURL": websocket,
        "dom.push.testing.allowInsecureServerURL": True,
        # As if the person had allowed notifications when the page asked.
        "permissions.default.desktop-notification": 1,
        # Shown by Firefox itself: there may be no desktop that would.
        "alerts.useSystemBackend": False,
    }


def serve_page(public_key):
    """The process that serves the page, and its port."""
    command = [sys.executable, PAGE, public_key, "--port", "0"]
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return process, int(process.stdout.readline().rpartition(":")[2])


def subscribe(firefox, port):
    """Does what a person does, and reads the subscription out of the command that is shown."""
    firefox.open(f"http://localhost:{port}/")
    wait_for("the page", lambda: firefox.run("return !document.getElementById('subscribe').disabled"))
    firefox.click("#subscribe")
    command = wait_for("the subscription", lambda: shown_command(firefox))
    return json.loads(shlex.split(command)[-1])


def shown_command(firefox):
    status, kind, command = firefox.run("""
        const [status, command] = ["status", "command"].map((id) => document.getElementById(id));
        return [status.textContent, status.className, command.textContent];
    """)
    if kind == "bad":
        raise SystemExit(f"the page says: {status}")
    return command


def serve_commands(firefox, record):
    """Clicks what it is told to, and writes down each notification once, until the end."""
    lines, before = read_lines(), []
    while (line := next_line(lines)) is not None:
        if line:
            firefox.click(line.strip())
        shown = firefox.run(SHOWN)
        for notification in shown:
            if notification not in before:
                record.write(**notification)
        before = shown


def read_lines():
    """A queue of the lines of standard input, and of None when it ends."""
    lines = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def next_line(lines):
    """Empty when none came for a moment."""
    try:
        return lines.get(timeout=LOOK_S)
    except queue.Empty:
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", required=True, help="file to append notifications to")
    parser.add_argument("--folder", required=True, help="where the profile is put")
    parser.add_argument("--push", required=True, metavar="URL", help="websocket of the push service")
    parser.add_argument("--key", required=True, help="the public key of VAPID, in base64url")
    arguments = parser.parse_args()
    profile = os.path.join(arguments.folder, "profile")
    with contextlib.ExitStack() as ending:
        page, port = serve_page(arguments.key)
        ending.callback(stop, page)
        browser = launch(program(), profile, preferences(arguments.push))
        ending.callback(stop, browser)
        firefox = Session(browser, profile)
        say_hello(port=port, subscription=subscribe(firefox, port))
        serve_commands(firefox, Record(arguments.record))


if __name__ == "__main__":
    main()
