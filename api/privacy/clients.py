"""Who a request is from, for whatever is shared out between clients."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

PREFIX = 64
"""Bits of an IPv6 address that name a client: the rest it chooses itself, anew for every connection if it likes."""


@lru_cache(4096)
def client_at(host: str) -> str:
    """Give the client at an address: that of IPv4, the /64 of IPv6, anything else as it is.

    No owner of an API key is called so: their names have no `@`.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return f"@{host}"
    if not isinstance(address, IPv6Address):
        return f"@{address}"
    if address.ipv4_mapped:
        return f"@{address.ipv4_mapped}"
    return f"@{IPv6Network((int(address), PREFIX), strict=False)}"
