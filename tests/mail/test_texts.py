"""The texts of the mails: ours, and a deployer's own in their place."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.core.config import SettingsError
from app.mail.texts import DEFAULT, KINDS, load_texts
from app.main import create_app
from tests.support.mail import mail_settings
from tests.support.settings import make_settings

VALUES = {
    "service": "Ada & Söhne <Tasks>",
    "page": "https://app.example.com",
    "when": "2026-01-07 10:00 UTC",
    "link": "https://app.example.com/reset#token=a.b-c_d",
}
REFERS = re.compile(r"(?i)(?:src=|background=|url\(|@import|<img|<link|<script|<form|<iframe)")


class Words(HTMLParser):
    """What a person reads of HTML, and where links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str] = []
        self._skipped = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped += tag in ("style", "title")
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.found += data.split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_says_the_same_in_plain_text_and_in_html(kind: str) -> None:
    """Nobody misses anything by how they read mail, nothing is fetched to show it, and no link is another's."""
    text = load_texts(None).make(kind, **VALUES)  # type: ignore[arg-type]  # one of them
    words = Words(text.html)
    said = text.plain.replace(f":\n{VALUES['link']}", "")
    assert words.found == [*VALUES["service"].split(), *said.split()]
    assert words.links == ([VALUES["link"]] if VALUES["link"] in text.plain else [])
    assert not REFERS.search(text.html)
    assert "$" not in text.subject + text.plain + text.html
    assert "\n" not in text.subject
    assert len(text.subject) < 90


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("_dot_", ".")).write_text(content)
    return folder


def test_a_deployers_own_texts_take_the_place_of_ours(tmp_path: Path) -> None:
    """Who runs the service writes in their language and with their colours, one text or all."""
    write(
        tmp_path,
        reset_dot_txt="Subject: Neues Passwort für $service\r\n\r\nHallo!\r\n\r\nHier entlang:\r\n$link\r\n",
        layout_dot_html="<title>$subject</title><h1>$service</h1><div>$body</div>",
        verify_dot_txt="Subject: x\n\n$link costs 5 $$",
        verify_dot_html="<a href='$link'>$service, 5 $$</a>",
    )
    (tmp_path / ".DS_Store").write_bytes(b"\0\xff")
    texts = load_texts(tmp_path)
    reset = texts.make("reset", **VALUES)
    assert reset.subject == f"Neues Passwort für {VALUES['service']}"
    assert reset.plain == f"Hallo!\n\nHier entlang:\n{VALUES['link']}\n"
    assert '<a class="button" href="https://app.example.com/reset#token=a.b-c_d">Hier entlang</a>' in reset.html
    assert "<h1>Ada &amp; Söhne &lt;Tasks&gt;</h1>" in reset.html
    assert texts.make("verify", **VALUES).html == f"<a href='{VALUES['link']}'>Ada &amp; Söhne &lt;Tasks&gt;, 5 $</a>"
    assert "<div><p>" in texts.make("known", **VALUES).html
    for folder in (DEFAULT, tmp_path):
        load_texts(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("resett.txt", "Subject: x\n\n$link", "has resett.txt, which is no mail's"),
        ("reset.txt", "$link", "has reset.txt, which does not begin with the line `Subject: …`"),
        ("reset.txt", "Subject: x\n$link", "has reset.txt, which does not begin with the line"),
        ("reset.txt", "Subject:\n\n$link", "has reset.txt, which does not begin with the line"),
        ("reset.txt", "Subject: x\n\nNo way in", "has reset.txt, which does not have $link"),
        ("reset.txt", "Subject: x $link\n\n$link", "has reset.txt, which has $link, which is not known there"),
        ("reset.txt", "Subject: x\n\n$link for $name", "has reset.txt, which has $name, which is not known there"),
        ("reset.txt", "Subject: x\n\n$link for 5 $", "has reset.txt, which has a $ that names nothing"),
        ("known.txt", "Subject: x\n\n$link", "has known.txt, which has $link, which is not known there"),
        ("layout.html", "<p>$service</p>", "has layout.html, which does not have $body"),
        ("reset.html", "$link", "has reset.html without reset.txt: a mail says the same in both"),
    ],
)
def test_a_text_that_cannot_be_sent_stops_the_start(tmp_path: Path, name: str, content: str, said: str) -> None:
    """A mistake in a text shows when it is deployed, and not to who has forgotten the password."""
    (tmp_path / name).write_text(content)
    settings = make_settings("postgresql://localhost/none", **mail_settings(9, mail_templates=tmp_path))
    with pytest.raises(SettingsError, match=re.escape(said)):
        create_app(settings)


def test_every_mistake_in_a_folder_is_said_at_once(tmp_path: Path) -> None:
    """A folder is mended in one go, and one that is not there or holds no text is named."""
    write(tmp_path, reset_dot_txt="x", verify_dot_txt="Subject: x\n\n", other="")
    with pytest.raises(SettingsError) as refused:
        load_texts(tmp_path)
    assert all(name in str(refused.value) for name in ("reset.txt", "verify.txt", "other"))
    with pytest.raises(SettingsError, match="which cannot be read: No such file"):
        load_texts(tmp_path / "nowhere")
    (tmp_path / "other").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="in which a file is not UTF-8"):
        load_texts(tmp_path)
