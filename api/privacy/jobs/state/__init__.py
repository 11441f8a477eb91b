"""Where jobs are kept: rows that say what is known of them, and documents.

Embedded, in `RUNS_DIR`: SQLite, and files (`sqlite`, `directory`). For many machines: PostgreSQL and S3 (`postgresql`,
`s3`). `interface` says what both can do, and `opened` chooses; nobody else knows which of them there is.
"""
