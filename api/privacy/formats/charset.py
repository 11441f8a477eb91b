"""Charsets of documents, by the names that senders and documents have for them.

No name from outside reaches `codecs.lookup`: Python remembers each for good, whatever its length, known or not.
"""

import re
from encodings.aliases import aliases

CHARSETS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32LE",
    "utf-32-be": "UTF-32BE",
    "ascii": "US-ASCII",
    **{f"iso8859-{n}": f"ISO-8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **{f"cp{n}": f"windows-{n}" for n in (874, *range(1250, 1259))},
    **{f"cp{n}": f"IBM{n}" for n in (437, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 865, 866, 869)},
    "koi8-r": "KOI8-R",
    "koi8-u": "KOI8-U",
    "mac-roman": "macintosh",
    "mac-cyrillic": "x-mac-cyrillic",
    # The next four as the WHATWG has them (Encoding Standard): what is sent under the name is the larger set.
    "cp932": "Shift_JIS",
    "gb18030": "GB18030",
    "cp949": "EUC-KR",
    "cp950": "Big5",
    "euc_jp": "EUC-JP",
}
"""Python's name and the registered one of every charset that is read: those in which every byte is text."""

MARKS = (  # those of UTF-32 first: the one of UTF-16LE is the beginning of the one of UTF-32LE
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xff\xfe", "utf-16-le"),
)
"""Byte order marks, and what is in which order behind each."""
WIDE = frozenset(name for name in CHARSETS if name.startswith(("utf-16", "utf-32")))

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:()+-]{0,39}")
LARGER = {"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "big5": "cp950"}
LARGER |= {"tis_620": "cp874", "iso8859_11": "cp874", "latin_1": "iso8859-1"}
OTHERS = {"windows31j": "cp932", "cswindows31j": "cp932", "isoir149": "cp949", "windows949": "cp949", "dos874": "cp874"}
OTHERS |= {"cngb": "gb18030", "cnbig5": "cp950", "ucs2": "utf-16", "iso10646ucs2": "utf-16", "unicode": "utf-16"}
OTHERS |= {"ucs4": "utf-32", "iso10646ucs4": "utf-32", "unicode11utf8": "utf-8", "cskoi8r": "koi8-r", "koi": "koi8-r"}
OTHERS |= {"iso88598i": "iso8859-8", "logical": "iso8859-8", "macroman": "mac-roman", "ansix341968": "ascii"}
NO_CHARSETS = re.compile(r"_codec$|^rot_13$|^mbcs$")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CODECS = {_key(name): name for name in CHARSETS} | {_key(label): name for name, label in CHARSETS.items()}
_UNREAD: set[str] = {"ebcdic"}
for _alias, _module in {module: module for module in (*aliases.values(), *LARGER)}.items() | aliases.items():
    _codec = LARGER.get(_module) or _CODECS.get(_key(_module))
    if _codec:
        _CODECS.setdefault(_key(_alias), _codec)
    elif not NO_CHARSETS.search(_module):
        _UNREAD.add(_key(_alias))
_CODECS |= {_key(name): codec for name, codec in OTHERS.items()}


def find_charset(name: str) -> str | None:
    """Give Python's name of a charset, None when it is not one of `CHARSETS`; upper case and punctuation are alike."""
    if not NAME.fullmatch(name):
        return None
    return _CODECS.get(_key(name)) or _CODECS.get(_key(name.lower().removeprefix("x-")))


def is_known(name: str) -> bool:
    """Tell whether the name is that of a charset, though of none that is read: then it is nothing to keep secret."""
    return bool(NAME.fullmatch(name)) and _key(name) in _UNREAD
