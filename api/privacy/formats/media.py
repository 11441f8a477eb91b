"""Which format a document has, by the media type that browsers and systems send, or by its file's name."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

TEXT, CSV, TSV = "text/plain", "text/csv", "text/tab-separated-values"
NDJSON, XML, TEXT_XML = "application/x-ndjson", "application/xml", "text/xml"

MEDIA_TYPES = (TEXT, CSV, TSV, XML, TEXT_XML, NDJSON)
"""What a document is kept and given back as."""

ALIASES = {
    TEXT: "text/markdown text/x-markdown text/log text/x-log",
    CSV: "text/x-csv application/csv application/x-csv text/comma-separated-values text/x-comma-separated-values",
    TSV: "text/tsv text/x-tsv application/tsv application/x-tsv text/x-tab-separated-values",
    NDJSON: "application/ndjson text/x-ndjson text/ndjson application/jsonl application/x-jsonl text/jsonl "
    "text/x-jsonl application/jsonlines application/x-jsonlines application/json-lines application/x-ldjson",
    XML: "application/x-xml",
}
UNKNOWN = (
    "application/octet-stream binary/octet-stream application/x-octet-stream application/unknown "
    "application/download application/x-download application/force-download application/x-msdownload"
)
EXCEL = "application/vnd.ms-excel application/msexcel application/x-msexcel application/excel application/x-excel"
"""What Windows has CSV registered as, once Excel is there."""
EXTENSIONS = {
    TEXT: "txt text log md markdown",
    CSV: "csv",
    TSV: "tsv tab",
    NDJSON: "ndjson jsonl ldjson",
    XML: "xml xsd xsl xslt xhtml svg rss atom rdf kml gpx wsdl",
}


def _by_name(table: Mapping[str, str]) -> dict[str, str]:
    return {name: kind for kind, names in table.items() for name in names.split()}


_NAMES = dict(zip(MEDIA_TYPES, MEDIA_TYPES, strict=True)) | _by_name(ALIASES)
_VAGUE: dict[str, str | None] = dict.fromkeys(["", *UNKNOWN.split()]) | dict.fromkeys(EXCEL.split(), CSV)
_ENDINGS = _by_name(EXTENSIONS)

# A quoted string may hold semicolons; one that is not closed goes to the end.
PARAMETER = re.compile(r';((?:[^;"]++|"(?:[^"\\]++|\\.?+)*+"?+)*+)', re.DOTALL)


def find_media_type(name: str, file_name: str | None = None) -> str | None:
    """Give one of `MEDIA_TYPES`, None for what is of no format that is read.

    `name` is a media type in lower case; an empty one, or one that says little, yields to the ending of a file's name.
    """
    if name not in _VAGUE:
        return XML if name.endswith("+xml") else _NAMES.get(name)
    if not file_name:
        return _VAGUE[name]
    return _ENDINGS.get(file_name.rpartition(".")[2].strip().lower())


def parse_header(value: str) -> tuple[str, dict[str, str]]:
    """Give a header's value (RFC 9110, 5.6.6) in lower case, and its parameters; the first of a name counts."""
    parameters: dict[str, str] = {}
    for parameter in PARAMETER.findall(value):
        name, _, text = parameter.partition("=")
        text = text.strip()
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:].removesuffix('"'), flags=re.DOTALL)
        elif len(text) > 1 and text[0] == text[-1] == "'":  # not by the RFC, but sent
            text = text[1:-1]
        parameters.setdefault(name.strip().lower(), text)
    return value.partition(";")[0].strip().lower(), parameters


def file_name(disposition: str | None) -> str | None:
    """Give the file's name of a `Content-Disposition`, the extended one first (RFC 6266)."""
    _, parameters = parse_header(disposition or "")
    extended = parameters.get("filename*")
    return unquote(extended, "latin-1") if extended else parameters.get("filename")
