"""All benchmarks in one run, one after the other: ``python -m bench``, on a machine that does nothing else.

Each is a process of its own and writes its figures down by itself. It takes an hour.
"""

import subprocess
import sys
import time

BENCHMARKS = (
    "request_cost", "record_cost", "scrape_cost", "search", "find", "edge", "service", "images", "at_rest", "capacity",
    "jobs", "victim",
)  # fmt: skip


def main() -> int:
    """Run them.

    Returns:
        How many of them failed.

    """
    failed = []
    for number, name in enumerate(BENCHMARKS, 1):
        print(f"==> {name}, {number} of {len(BENCHMARKS)}", flush=True)
        begun = time.monotonic()
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False)
        print(f"    {time.monotonic() - begun:.0f} s, status {done.returncode}", flush=True)
        failed += [name] if done.returncode else []
    print(f"==> {len(failed)} failed: {', '.join(failed)}" if failed else "==> all done", flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
