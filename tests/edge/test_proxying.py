"""What passes through the edge, and how."""

from tests.edge.containers import Edge


def test_hello(edge: Edge) -> None:
    with edge.client() as client:
        print(client.get("/echo").json())
    print(edge.workers())
