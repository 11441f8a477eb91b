"""A way of observing in a process of its own: each line on stdin asks for a round, each on stdout tells its cost.

`bench.request_cost` and what it measures come from the tree that ``PYTHONPATH`` names, which may be an older one.
"""

import asyncio
import gc
import logging
import sys

from bench.request_cost import LOGGER, REQUESTS, WAYS, measure


def main() -> None:
    """Serve rounds of the way whose name is the argument, in CPU microseconds a request, until stdin ends."""
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    with asyncio.Runner() as runner:
        app = WAYS[sys.argv[1]]()
        for _ in range(10):
            runner.run(measure(app, REQUESTS))
        gc.freeze()
        for _ in sys.stdin:
            print(runner.run(measure(app, REQUESTS)), flush=True)


if __name__ == "__main__":
    main()
