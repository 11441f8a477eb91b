"""Makes what the applications serve; run once, while the image is built."""

import json
import sqlite3
from pathlib import Path

HERE = Path(__file__).parent

with sqlite3.connect(HERE / "library.db") as database:
    database.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
    database.executemany("INSERT INTO books VALUES (?, ?)", [(number, f"No. {number}") for number in range(1, 51)])

(HERE / "wheels" / "shelf").mkdir(parents=True)
(HERE / "wheels" / "shelf" / "shelf-1.0.tar.gz").write_bytes(b"")

# What fakellm answers, by the model it is asked for; each word of a stream takes 10 ms at least.
ANSWERS = {
    "short": {"content": " ".join(["word"] * 100)},
    "endless": {"content": " ".join(["word"] * 100_000)},
    "broken": {"tool_calls": [{}]},  # it fails after the first event
}
rules = [{"name": name, "when": {"model_matches": name}, "respond": answer} for name, answer in ANSWERS.items()]
(HERE / "answers.yaml").write_text(json.dumps({"rules": rules}))
