"""Origins as browsers send them. Source: RFC 6454 6.2, WHATWG URL."""

import pytest

from app.core.origins import canonical_origin, is_one_of, own_origins


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80/", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("https://app.example.com:", "https://app.example.com"),
        ("HTTPS://App.Example.COM/", "https://app.example.com"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:443", "https://xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://api_1:3000", "http://api_1:3000"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("http://[2001:DB8::0001]", "http://[2001:db8::1]"),
        ("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Ionic://localhost/", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("http://tauri.localhost", "http://tauri.localhost"),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
        (
            "moz-extension://4e1b3c5a-0000-4000-8000-1234567890ab",
            "moz-extension://4e1b3c5a-0000-4000-8000-1234567890ab",
        ),
        ("app://.", "app://."),
        ("app://obsidian.md", "app://obsidian.md"),
        ("capacitor://localhost:8080", "capacitor://localhost:8080"),
    ],
)
def test_what_is_written_is_kept_as_it_is_sent(written: str, sent: str) -> None:
    """An operator may write an origin in any way that means it."""
    assert canonical_origin(written) == sent
    assert canonical_origin(sent) == sent


@pytest.mark.parametrize(
    "text",
    [
        *(
            "*",
            "null",
            "",
            "app.example",
            "localhost:3000",
            "//app.example",
            "https://",
            "https:///",
            "https:app.example",
        ),
        *(
            "https://*.example.com",
            "https://app.example/x",
            "https://app.example?",
            "https://app.example#",
            "https://a//",
        ),
        *("https://u@app.example", "https://u:p@app.example", "https://app.example\\", "https://a b", "https://a\tb"),
        *("https://app.example:0", "https://app.example:65536", "https://app.example:x", "https://app.example:-1"),
        *(
            "https://app..example",
            "https://.",
            "https://%61.example",
            "https://" + "a" * 64,
            "https://" + "a." * 127 + "a",
        ),
        *("http://127.1", "http://0x7f.0.0.1", "http://127.0.0.01", "http://2130706433", "http://127.0.0.256"),
        *("http://[::1", "http://[::1%25eth0]", "http://[::1%eth0]", "http://[x]", "http://::1", "http://[::1]x"),
        *("file://", "file:///", "file://localhost", "ws://app.example", "wss://app.example", "ftp://app.example"),
        *(
            "data:text/html,x",
            "blob:https://app.example",
            "javascript://x",
            "about:blank",
            "app://",
            "capacitor:localhost",
        ),
        *("htps://app.example", "htttps://app.example", "https://\u200d.example", "https://\U0001f4a9.example"),
    ],
)
def test_what_can_never_match_is_refused(text: str) -> None:
    """Nobody looks for hours for the reason why a page may not call: the sentence comes at the start."""
    with pytest.raises(ValueError, match=r"^(must|names|needs|has) "):
        canonical_origin(text)


def test_capitals_of_an_app_are_no_difference() -> None:
    """Safari's extensions send capitals; what a browser never sends is no origin of a page."""
    kept = (canonical_origin("safari-web-extension://0A1B"), canonical_origin("https://app.example"))
    assert is_one_of("safari-web-extension://0A1B", kept)
    assert is_one_of("https://app.example", kept)
    for other in ("https://APP.example", "HTTPS://app.example", "https://app.example:443", "https://app.example/", ""):
        assert not is_one_of(other, kept)


def test_the_service_knows_the_origin_of_its_own_pages() -> None:
    """Some proxies name the port in Host, even the usual one; browsers never name that."""
    assert own_origins("API.example:443")[0] == "https://api.example"
    assert own_origins("localhost:8000") == ("https://localhost:8000", "http://localhost:8000")
    for host in ("", "a b", "x/y", "u@x", "é" * 60_000, "x:" + "1" * 60_000):
        assert own_origins(host) == ()
