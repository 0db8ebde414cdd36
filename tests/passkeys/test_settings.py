"""The settings of passkeys: for which domain they are, and who may ask for them."""

import subprocess
import sys

import pytest

from app.core.config import Settings, SettingsError, load_settings
from app.operations.doctor import Finding, examine
from tests.support.settings import SECRET, environment_of, make_settings

URL = "postgresql://localhost/none"
APP = "android:apk-key-hash:" + "aZ-_9" * 8 + "abc"
PAGE = "https://app.example.com"


def known(**settings: str) -> Settings:
    return make_settings(URL, passkeys="on", **settings)


@pytest.mark.parametrize(
    ("settings", "domain", "pages"),
    [
        ({"frontend_url": PAGE}, "app.example.com", (PAGE,)),
        ({"frontend_url": f"{PAGE},https://example.com"}, "app.example.com", (PAGE,)),
        ({"frontend_url": f"capacitor://localhost,{PAGE}"}, "app.example.com", (PAGE,)),
        (
            {"frontend_url": f"{PAGE},https://other.org,http://example.com", "passkey_domain": "Example.com"},
            "example.com",
            (PAGE,),
        ),
        ({"frontend_url": "https://bücher.example"}, "xn--bcher-kva.example", ("https://xn--bcher-kva.example",)),
        ({"frontend_url": PAGE, "passkey_origins": APP}, "app.example.com", (PAGE, APP)),
        (
            {"frontend_url": PAGE, "passkey_domain": "example.com", "passkey_origins": "https://example.com"},
            "example.com",
            (PAGE, "https://example.com"),
        ),
        ({"frontend_url": "", "passkey_domain": "example.com", "passkey_origins": APP}, "example.com", (APP,)),
        ({"frontend_url": "http://localhost:5173"}, "localhost", ("http://localhost:5173",)),
    ],
)
def test_the_domain_is_that_of_the_first_page(settings: dict[str, str], domain: str, pages: tuple[str, ...]) -> None:
    """A deployer sets one word where there is one page; of several, those of the domain may ask for keys."""
    read = known(**settings)
    assert (read.passkey_domain, read.passkey_pages) == (domain, pages)


@pytest.mark.parametrize(
    "settings",
    [
        {"frontend_url": "http://127.0.0.1:3000"},
        {"frontend_url": "http://app.example.com"},
        {"frontend_url": "capacitor://localhost"},
        {"frontend_url": "", "environment": "production", "better_auth_secret": SECRET},
        {"passkey_domain": "127.0.0.1"},
        {"passkey_domain": "[::1]"},
        {"passkey_domain": "https://example.com"},
        {"passkey_domain": "localhost:3000"},
        {"passkey_domain": "example.com/"},
        {"passkey_domain": "a b"},
        {"frontend_url": PAGE, "passkey_domain": "other.org"},
        {"frontend_url": PAGE, "passkey_domain": "pp.example.com"},
        {"frontend_url": PAGE, "passkey_origins": "https://other.org"},
        {"frontend_url": PAGE, "passkey_origins": "http://app.example.com"},
        {"frontend_url": PAGE, "passkey_origins": "android:apk-key-hash:short"},
        {"frontend_url": PAGE, "passkey_origins": "*"},
    ],
)
def test_what_no_browser_makes_a_key_for_stops_the_start(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployer reads at the start why nobody could make a passkey, and not from a user; no value is printed."""
    with pytest.raises(SettingsError) as refused:
        load_settings(
            _env_file=None, **{"database_url": URL, "better_auth_secret": SECRET, "passkeys": "on", **settings}
        )
    assert "PASSKEY_" in str(refused.value)
    assert "other.org" not in str(refused.value)


def test_off_none_of_it_is_asked_for() -> None:
    """Who has no passkeys needs no domain."""
    assert make_settings(URL, frontend_url="http://127.0.0.1:3000").passkey_domain is None


def test_doctor_names_who_may_ask() -> None:
    """An operator reads for which domain the keys are."""
    findings = {finding.what: finding.how for finding in _settings_alone(known(frontend_url=PAGE))}
    assert findings["passkeys"] == f"of app.example.com, asked for by {PAGE}"


def _settings_alone(settings: Settings) -> list[Finding]:
    return list(examine(settings, lambda _: iter(())))


HIDDEN = """
import sys
sys.modules["webauthn"] = sys.modules["cbor2"] = None
"""


def test_without_the_extra_the_start_says_so() -> None:
    """Who switches passkeys on without the package reads what to install."""
    code = f"{HIDDEN}\nimport runpy\nsys.argv[1:] = ['doctor']\nrunpy.run_module('app', run_name='__main__')"
    environment = environment_of(DATABASE_URL=URL, BETTER_AUTH_SECRET=SECRET, PASSKEYS="on")
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 1
    assert "PASSKEYS needs the passkeys extra: pip install webauthn" in ran.stderr


def test_off_nothing_of_it_is_imported() -> None:
    """Who has no passkeys pays nothing for them: no package, no statement, and it works without the extra."""
    code = f"""{HIDDEN}
from app.main import create_app
from app.core.config import Settings
create_app(Settings(_env_file=None, database_url="{URL}", better_auth_secret="{SECRET}"))
loaded = [name for name in sys.modules if name.startswith(("app.passkeys.", "webauthn."))]
assert not {{"app.passkeys.service", "app.passkeys.repository", "app.passkeys.ceremonies"}} & set(loaded), loaded
"""
    subprocess.run([sys.executable, "-c", code], env=environment_of(), check=True, timeout=60)
