"""S3 as moto has it, in memory: a second implementation beside versitygw.

Prints one JSON line {"port": N} when it listens, with an empty bucket named
`pricedrop`. It takes every access key. Records nothing.
"""

import argparse
import http.client
import json
import logging
import sys

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--record", help="is not used")
arguments.parse_args()

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()

# moto tells its services apart by the credential's scope.
scope = "AWS4-HMAC-SHA256 Credential=admin/20260101/us-east-1/s3/aws4_request"
connection = http.client.HTTPConnection("127.0.0.1", port)
connection.request("PUT", "/pricedrop", headers={"Authorization": scope})
assert connection.getresponse().status == 200
connection.close()

print(json.dumps({"port": port}), flush=True)
# It ends with whoever started it.
sys.stdin.read()
