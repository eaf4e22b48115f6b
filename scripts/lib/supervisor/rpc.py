# SPDX-License-Identifier: Apache-2.0
"""supervisord's XML-RPC interface over its Unix socket."""

import http.client
import socket
import xmlrpc.client


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str):
        super().__init__()
        self._path = path

    def make_connection(self, host):
        return _Connection(self._path)


def supervisord(path: str):
    """The `supervisor` namespace, or None when nobody answers at the socket."""
    proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(path)).supervisor
    try:
        proxy.getState()
    except OSError:
        return None
    return proxy
