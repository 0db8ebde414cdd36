"""The texts of the mails: those of `default_texts`, and in their place a deployer's own of `MAIL_TEMPLATES`.

A `NAME.txt` begins with the line `Subject: …`, a blank line follows, and then paragraphs. The HTML is made of it, in
`layout.html`: each paragraph is one of HTML, and where `$link` is its last line, the lines before that are the button.
"""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple, get_args

from app.core.config import SettingsError
from app.core.mail_settings import Notice
from app.mail.orders import Kind

KINDS: tuple[Kind, ...] = (*("reset", "verify", "change", "change_asked", "known", "test"), *get_args(Notice))
DEFAULT = Path(__file__).parent / "default_texts"
LAYOUT = "layout.html"

_WITH_LINK = ("reset", "verify", "change")
_EVERYWHERE = frozenset({"service", "page", "when"})
_SUBJECT = "Subject: "


class Text(NamedTuple):
    """What a mail says, in plain text and in HTML."""

    subject: str
    plain: str
    html: str


class Texts:
    """The texts of one service."""

    def __init__(self, folder: Path | None) -> None:
        own = _read(folder) if folder else {}
        self._files = _read(DEFAULT) | own
        _refuse(_faults(own))

    def make(self, kind: Kind, **values: str) -> Text:
        """Return a text with these values in it, which HTML cannot read as its own."""
        subject, plain = _parts(self._files[f"{kind}.txt"])
        subject = Template(subject).substitute(values)
        escaped = {name: escape(value) for name, value in values.items()}
        own = self._files.get(f"{kind}.html")
        html = Template(own).substitute(escaped) if own else self._in_layout(plain, escape(subject), escaped)
        return Text(subject, Template(plain).substitute(values), html)

    def _in_layout(self, plain: str, subject: str, escaped: Mapping[str, str]) -> str:
        body = "\n".join(map(_paragraph, plain.strip().split("\n\n")))
        values = {**escaped, "subject": subject, "body": Template(body).substitute(escaped)}
        return Template(self._files[LAYOUT]).substitute(values)


def load_texts(folder: Path | None) -> Texts:
    """Return the texts, with those that stand in the folder. Raises: SettingsError naming every fault."""
    return Texts(folder)


def _paragraph(text: str) -> str:
    lines = text.strip().split("\n")
    if lines[-1].strip() != "$link":
        return f"<p>{escape(text.strip())}</p>"
    label = " ".join(lines[:-1]).strip().rstrip(":") or "$link"
    return f'<p><a class="button" href="$link">{escape(label)}</a></p>'


def _read(folder: Path) -> dict[str, str]:
    try:
        files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
        return {file.name: file.read_text(encoding="utf-8").replace("\r\n", "\n") for file in files}
    except OSError as error:
        _refuse([f"names {folder}, which cannot be read: {error.strerror}"])
    except UnicodeDecodeError:
        _refuse([f"names {folder}, in which a file is not UTF-8"])
    raise AssertionError


def _refuse(faults: Iterable[str]) -> None:
    lines = [f"\n  MAIL_TEMPLATES {fault}" for fault in faults]
    if lines:
        raise SettingsError("The settings do not allow a start:" + "".join(lines))


def _faults(files: Mapping[str, str]) -> Iterable[str]:
    known = {LAYOUT, *(f"{kind}.{ending}" for kind in KINDS for ending in ("txt", "html"))}
    for name in files.keys() - known:
        yield f"has {name}, which is no mail's: there are {', '.join(sorted(known))}"
    for name in sorted(files.keys() & known):
        if name.endswith(".html") and name != LAYOUT and (beside := name.replace(".html", ".txt")) not in files:
            yield f"has {name} without {beside}: a mail says the same in both"
        yield from (f"has {name}, which {fault}" for fault in _faults_of(name, files[name]))


def _faults_of(name: str, text: str) -> Iterable[str]:
    kind, _, ending = name.partition(".")
    if name == LAYOUT:
        yield from _wrong_values(text, needed={"body"}, known=_EVERYWHERE | {"body", "subject"})
        return
    link = {"link"} if kind in _WITH_LINK else set()
    if ending == "html":
        yield from _wrong_values(text, needed=link, known=_EVERYWHERE | link)
        return
    first, _, rest = text.partition("\n")
    if not first.startswith(_SUBJECT) or not first.removeprefix(_SUBJECT).strip() or rest[:1] != "\n":
        yield f"does not begin with the line `{_SUBJECT}…` and a blank one"
    yield from _wrong_values(first, needed=set(), known={"service"})
    yield from _wrong_values(rest, needed=link, known=_EVERYWHERE | link)


def _wrong_values(text: str, *, needed: set[str], known: "set[str] | frozenset[str]") -> Iterable[str]:
    template = Template(text)
    if not template.is_valid():
        yield "has a $ that names nothing: write $$ for one that is meant"
        return
    used = set(template.get_identifiers())
    yield from (f"does not have ${name}" for name in sorted(needed - used))
    yield from (f"has ${name}, which is not known there" for name in sorted(used - known))


def _parts(text: str) -> tuple[str, str]:
    first, _, rest = text.partition("\n")
    return first.removeprefix(_SUBJECT).strip(), rest.strip() + "\n"
