"""Requests of up to 64 KiB that are made to be slow: for every field, parameter and header that the document names."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import quote

SIZE = 64 * 1024 - 600  # what a body or a head may have, less what stands around it

QUERY_SIZE = 8192  # what a query may have


Headers = tuple[tuple[bytes, bytes], ...]


class Attack(NamedTuple):
    """One request to one operation, and what is hostile in it."""

    name: str
    path: str
    query: bytes = b""
    headers: Headers = ()
    body: bytes = b""


def filled(unit: str, size: int = SIZE) -> str:
    return unit * (size // len(unit.encode()))


# Two classes of combining marks in turn are what NFKC sorts, in quadratic time; U+FDFA becomes 18 code points.
MARKS, LIGATURE = "\u0316\u0301", "\ufdfa"
TEXTS = {
    "marks": filled(MARKS),
    "marks after blanks": " " * (SIZE // 2) + filled(MARKS, SIZE // 2),
    "4,096 marks": MARKS * 2048,
    "as many marks as an address may have": "a" + MARKS * 185 + "@b.co",
    "ligatures": filled(LIGATURE),
    "as many ligatures as an address may have": LIGATURE * 370 + "@b.co",
    "quoted ligatures": f'"{LIGATURE * 250}"@b.co',
    "digits": "9" * SIZE,
    "blanks": " " * SIZE,
    "angles": filled("<\u0338"),
    "labels": "a@" + filled("b.", SIZE - 2),
    "arabic labels": "a@" + ".".join(["\u0645\u0627"] * 50),
    "token": f"{'a' * (SIZE // 2)}.{'a' * (SIZE // 2 - 50)}.{'a' * 42}A",
    "percent signs": "%" * SIZE,
}
PATHS = {  # as the server hands them on, with percent codes read
    "folders": filled("a/"),
    "slashes": filled("/"),
    "dots": filled("./"),
    "folders and back": filled("a/../"),
    "back": filled("../"),
    "a name": filled("a"),
    "NUL": filled("\0"),
    "marks": filled(MARKS),
    "braces": filled("{"),
    "backslashes": filled("\\"),
}
VALUES = {
    "nested lists": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "nested objects": b'{"a":' * (SIZE // 6) + b"1" + b"}" * (SIZE // 6),
    "many nested lists": b"[" + b",".join([b"[" * 400 + b"]" * 400] * 80) + b"]",
    "keys": b"{" + b",".join(b'"%x":0' % n for n in range(7000)) + b"}",
    "the same key": b"{" + b",".join([b'"":0'] * 13_000) + b"}",
    "wrong items": b"[" + b"0," * 30_000 + b"0]",
    "objects": b"[" + b"{}," * 20_000 + b"0]",
    "fractions": b"[" + b"1e0," * 15_000 + b"0]",
    "long fractions": b"[" + b",".join([b"0." + b"1" * 750] * 85) + b"]",
    "a long number": b"9" * SIZE,
    "long numbers": b"[" + b",".join([b"9" * 4299] * 14) + b"]",
    "escaped marks": b'"' + b"\\u0316\\u0301" * (SIZE // 12) + b'"',
    "lone surrogates": b'"' + b"\\ud800" * (SIZE // 6) + b'"',
    "NUL": b'"' + b"\\u0000" * (SIZE // 6) + b'"',
}
LISTS = {
    "keys": b"&".join(b"%x=" % n for n in range(11_000)),
    "the same key": b"a&" * (SIZE // 2),
    "ampersands": b"&" * SIZE,
    "percent signs": b"%" * SIZE,
    "percent codes": b"%cc%96" * (SIZE // 6),
    "equals signs": b"=" * SIZE,
}
HEADERS = {
    "commas": b"," * SIZE,
    "semicolons": b"application/x-www-form-urlencoded" + b";" * SIZE,
    "parameters": b"application/json" + b";a=b" * (SIZE // 4),
    "an open quote": b'application/x-www-form-urlencoded;a="' + b";" * SIZE,
    "escaped quotes": b'a="' + b'\\"' * (SIZE // 2) + b'"',
    "tags": b'"1",' * (SIZE // 4),
    "different tags": b",".join(b'"%d"' % n for n in range(1, 8000)),
    "quotes": b'"' * SIZE,
    "addresses": b"10.0.0.1," * (SIZE // 9),
    "long addresses": b"1:" * (SIZE // 2),
    "a bearer": b"Bearer " + b"a." * (SIZE // 2),
    "blanks": b"Bearer" + b" " * SIZE,
    "digits": b"9" * SIZE,
}
ANY_HEADERS = [
    *("Accept", "Authorization", "Content-Type", "Content-Encoding", "Cookie", "Host", "Origin", "User-Agent"),
    *("X-Forwarded-For", "X-Request-ID", "If-Match"),
]


def attacks(document: Any, path: str, operation: Any, bearer: str, known: dict[str, str]) -> Iterator[Attack]:
    """Yield every request of this kind to one operation; `known` has a value for each of the path's parameters."""
    here = path.format(**known)
    headers: Headers = ((b"authorization", bearer.encode()),)
    json_headers = (*headers, (b"content-type", b"application/json"))
    form_headers = (*headers, (b"content-type", b"application/x-www-form-urlencoded"))
    fields, valid = _body(document, operation)
    valid_body = Attack("", here, headers=json_headers, body=json.dumps(valid).encode() if fields else b"")
    for name, content in _json_bodies(fields, valid):
        yield Attack(f"JSON {name}", here, headers=json_headers, body=content)
    for name, content in _forms(fields, valid):
        yield Attack(f"form {name}", here, headers=form_headers, body=content)
    parameters = [(p["in"], p["name"]) for p in operation.get("parameters", [])]
    for (name, text), (kind, parameter) in product(TEXTS.items(), parameters):
        if kind == "path":
            yield Attack(f"{parameter} of {name}", path.format(**{**known, parameter: text}), headers=headers)
        if kind == "query":
            query = f"{parameter}={quote(text)}".encode()[:QUERY_SIZE]
            yield Attack(f"{parameter} of {name}", here, query, headers)
    for name, query in LISTS.items():
        yield valid_body._replace(name=f"query of {name}", query=query)
        yield valid_body._replace(name=f"short query of {name}", query=query[:QUERY_SIZE])
    yield from _headers(valid_body, [*ANY_HEADERS, *(name for kind, name in parameters if kind == "header")])


def _headers(valid: Attack, names: list[str]) -> Iterator[Attack]:
    for header in dict.fromkeys(name.lower().encode() for name in names):
        kept = tuple(pair for pair in valid.headers if pair[0] != header)
        for name, value in HEADERS.items():
            yield valid._replace(name=f"{header!r} of {name}", headers=(*kept, (header, value)))
        yield valid._replace(name=f"{header!r} 3,000 times", headers=(*kept, *((header, b'"1"'),) * 3000))


def _body(document: Any, operation: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the body's fields, and an example of it."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        for choice in [schema, *schema.get("anyOf", [])]:
            if "$ref" in choice:
                found = document["components"]["schemas"][choice["$ref"].rpartition("/")[2]]
                return list(found["properties"]), found.get("example", {})
    return [], {}


def _json_bodies(fields: list[str], valid: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    if not fields:
        return
    yield from VALUES.items()
    for field in fields:
        rest = b"".join(b",%b:%b" % (_dump(n), _dump(v)) for n, v in valid.items() if n != field)
        texts = {name: json.dumps(text, ensure_ascii=False).encode() for name, text in TEXTS.items()}
        for name, value in (texts | VALUES).items():
            yield f"{field} of {name}", b"{%b:%b%b}" % (_dump(field), value, rest)
    yield "every field many times", b"{%b}" % b",".join([b"%b:[]" % _dump(f) for f in fields] * 700)


def _forms(fields: list[str], valid: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    if not fields:
        return
    yield from LISTS.items()
    for field in dict.fromkeys(["username", *fields]):
        rest = b"".join(b"&%b=%b" % (n.encode(), str(v).encode()) for n, v in valid.items() if n != field)
        for name, text in TEXTS.items():
            yield f"{field} of raw {name}", b"%b=%b%b" % (field.encode(), text.encode(), rest)
            yield f"{field} of {name}", b"%b=%b%b" % (field.encode(), quote(text).encode()[:SIZE], rest)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()
