"""Makes what the applications serve; run once, while the image is built."""

import sqlite3
from pathlib import Path

HERE = Path(__file__).parent

with sqlite3.connect(HERE / "library.db") as database:
    database.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
    database.executemany("INSERT INTO books VALUES (?, ?)", [(number, f"No. {number}") for number in range(1, 51)])

(HERE / "wheels" / "shelf").mkdir(parents=True)
(HERE / "wheels" / "shelf" / "shelf-1.0.tar.gz").write_bytes(b"")
