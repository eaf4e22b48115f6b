# SPDX-License-Identifier: Apache-2.0
"""How scripts/supervisor asks the processes what they are doing."""

import http.server
import os
import sys
import threading
import unittest
import urllib.request
from unittest import mock

from suite import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib" / "supervisor"))
import status  # noqa: E402
from layout import Instance  # noqa: E402


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = 200 if self.path == "/ready" else 503
        self.send_response(code)
        self.end_headers()
        self.wfile.write(b"ready\n")

    def log_message(self, *arguments):
        pass


class StandIn:
    """The part of a suite that status asks."""

    def __init__(self, port: int):
        self.port = port
        self.configuration = {"http": {"address": "127.0.0.1"}}

    def http_port(self, instance: Instance) -> int:
        return self.port


class FetchTests(unittest.TestCase):
    def setUp(self):
        server = http.server.HTTPServer(("127.0.0.1", 0), Pages)
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.suite = StandIn(server.server_port)

    def test_a_page_and_a_refusal_are_told_apart(self):
        self.assertEqual(status.fetch(self.suite, Instance("router", 1), "/ready"), (200, "ready\n"))
        self.assertEqual(status.fetch(self.suite, Instance("router", 1), "/else"), (503, ""))

    def test_a_proxy_of_the_environment_is_not_asked_for_the_loopback(self):
        # Nothing listens on port 1. urllib reads the environment when it makes its first opener.
        urllib.request.install_opener(None)
        proxies = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "", "NO_PROXY": ""}
        with mock.patch.dict(os.environ, proxies):
            self.assertTrue(status.is_ready(self.suite, Instance("router", 1)))


if __name__ == "__main__":
    unittest.main()
