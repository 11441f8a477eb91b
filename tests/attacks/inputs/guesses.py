"""Authorization headers of somebody who has no key, `{key}` being a right one."""

GUESSES: list[str] = [
    "", "Bearer", "Bearer ", "Bearer  {key}x", "bearer", "Basic {key}", "Token {key}", "{key}", "Bearer {key}x",
    "Bearer x{key}", "Bearer {upper}", "Bearer {short}", "Bearer {key},{key}x", "Bearer {key} {key}",
    "Bearer {key}, Bearer x", "Bearer owner:{key}", "Bearer owner", "Bearer *", "Bearer null", "Bearer undefined",
    "Bearer None", "Bearer true", "Bearer 0", "Bearer []", "Bearer #", "Bearer # {key}", 'Bearer "{key}"',
    "Bearer '{key}'", "Bearer {key}%00",
    "Bearer %00{key}", "Bearer {key}\\n", "Bearer\u00a0{key}", "Bearer {key}\u00a0", "BEARER:{key}", "Bearer={key}",
    "Bearer;{key}", "Bearer ' OR 1=1--", "Bearer ../../run/keys/api_keys", "Bearer $ {key}", "Bearer " + "A" * 7000,
    "Negotiate {key}",
    "Digest username={key}", "AWS4-HMAC-SHA256 {key}", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer {reversed}",
    "Basic b3duZXI6", "ApiKey {key}", "Bearer attacker-key", "Bearer victim", "Bearer victim-key-0123456789 x",
    "Bearer \u00fc",
]  # fmt: skip
GUESSES += [f"Bearer {{key}}{suffix}" for suffix in ("a", "0", "-", ".", "=", "==")]
GUESSES += [f"Bearer guess-{number:020d}" for number in range(100)]
