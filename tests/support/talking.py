"""A client of WebSockets through TLS."""

import ssl

from websockets.sync.client import ClientConnection, connect


def talk(url: str, context: ssl.SSLContext) -> ClientConnection:
    """Open a WebSocket at a wss:// address.

    The client reads and writes in two threads, and one TLS connection is one thread's: with TLS 1.3, whose session
    tickets come while the request is sent, one request in fifty was lost on a busy machine. With 1.2 each side speaks
    in turn.

    Args:
        url: the address.
        context: whom the client trusts; one of its own.

    """
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return connect(url, ssl=context, proxy=None)
