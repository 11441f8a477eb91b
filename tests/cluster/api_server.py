"""The cluster's API server, asked by HTTP: what is polled would cost a process of kubectl's each time."""

import ssl
from functools import cache
from typing import Any

import httpx

from scripts.cluster.layout import API_PORT, NODE_ADDRESS, PKI


@cache
def _client() -> httpx.Client:
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    return httpx.Client(base_url=f"https://{NODE_ADDRESS}:{API_PORT}", verify=context, timeout=60)


def ask(path: str, **query: str) -> Any:
    """Get what is there, of a cluster that is up.

    Raises:
        httpx.HTTPStatusError: it is not there.

    """
    return _client().get(path, params=query).raise_for_status().json()
