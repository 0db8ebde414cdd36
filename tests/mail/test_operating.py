"""What an operator sees and does: a mail to try it, the doctor, the figures, and a stop with mails on their way."""

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.cli import commands
from app.cli.doctor import report
from app.cli.mail import look_at_mail
from tests.mail.conftest import Mailed
from tests.support.mail import Mailbox, Says, listening, mail_settings, plain
from tests.support.people import Person, new_email
from tests.support.server import Service, serving
from tests.support.settings import SECRET, make_settings
from tests.support.waiting import until


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: object) -> None:
    for name, value in {
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_URL": "postgresql://localhost/none",
        **settings,
    }.items():
        monkeypatch.setenv(name.upper(), str(value))
    commands.main(["mail", "test", *arguments])


def test_an_operator_tries_it_with_a_mail(
    monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has set it up sends one mail, without a database, and is told what the server said."""
    run(monkeypatch, " Ada@Example.TEST", **mail_settings(port))
    (mail,) = mailbox.mails
    assert (mail["To"], mail["Subject"]) == ("ada@example.test", "A test of Example Tasks")
    assert "Mails arrive." in plain(mail)
    assert "The server has taken a mail to ada@example.test." in capsys.readouterr().err
    mailbox.answer = {"rcpt": ["550 5.1.1 No such user"]}
    with pytest.raises(SystemExit, match=r"was not sent: the server refuses the recipient: 550 5\.1\.1"):
        run(monkeypatch, "ada@example.test")
    with pytest.raises(SystemExit, match="not a valid e-mail address"):
        run(monkeypatch, "ada")
    with pytest.raises(SystemExit, match="Mail is off: set MAIL_URL"):
        run(monkeypatch, "ada@example.test", mail_url="")


def test_the_doctor_greets_the_server_and_sends_nothing(mailbox: Mailbox, port: int, tmp_path: Path) -> None:
    """An operator learns that mail cannot be sent before somebody forgets a password."""

    def found(**settings: object) -> tuple[str, str]:
        (finding,) = look_at_mail(make_settings("postgresql://localhost/none", **settings))
        assert finding.what == "mail"
        return finding.verdict, finding.how

    assert found(**mail_settings(port))[0] == "ok"
    assert mailbox.raw == []
    with listening(lambda: Says(b"554 5.7.1 Go away\r\n")) as other:
        verdict, how = found(**mail_settings(other))
    assert (verdict, how.partition(";")[0]) == ("fail", "cannot be sent: the server refuses the mail: 554 5.7.1")
    (tmp_path / "reset.txt").write_text("no subject")
    assert found(**mail_settings(port, mail_templates=tmp_path))[0] == "fail"


def test_the_doctor_looks_at_mail_beside_all_else(
    own_database_url: str, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` has a line for mail where there is mail, and ends with 1 if it cannot be sent."""
    found = []
    for settings in ({}, mail_settings(port), mail_settings(9)):
        fine = report(make_settings(own_database_url, **settings))
        found.append((fine, [line[:10].split() for line in capsys.readouterr().out.splitlines() if " mail " in line]))
    assert found == [(True, []), (True, [["ok", "mail"]]), (False, [["fail", "mail"]])]


async def test_an_operator_sees_in_the_figures_that_mails_fail(service: Service, mailbox: Mailbox, port: int) -> None:
    """An alarm can be made of mails that fail; where there is no mail there are no such figures."""
    mailbox.answer = {"rcpt": ["550 5.1.1 No"]}
    async with service(metrics_enabled=True, **mail_settings(port)) as client:
        mailed = Mailed(client, mailbox, None)  # type: ignore[arg-type]  # it has no clock
        ada = await mailed.sign_up()
        for email in (ada.email, new_email(), ada.email):
            await client.post("/api/auth/reset/mail", json={"email": email})
            await mailed.until_sent()
        text = (await client.get("/metrics")).text
    counted = {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "mails_total"
    }
    assert counted == {"sent": 2, "delayed": 0, "failed": 1}  # one was to nobody: who reads figures must not learn that
    async with service(metrics_enabled=True) as client:
        assert "mails" not in (await client.get("/metrics")).text


@pytest.mark.slow
async def test_mails_that_wait_are_sent_after_sigterm(
    database_url: str, tmp_path: Path, mailbox: Mailbox, port: int
) -> None:
    """An operator updates a running service, and every mail that was asked for arrives."""
    mailbox.answer = {"rcpt": ["450 4.2.1 Busy"] * 3}
    named = {name.upper(): str(value) for name, value in mail_settings(port).items()}
    environment = {"DATABASE_URL": database_url, "LOG_LEVEL": "INFO", **named}
    with serving(tmp_path, **environment) as server:  # type: ignore[arg-type]  # they are text
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            ada = await Person.sign_up(client)
            for _ in range(10):
                assert (await client.post("/api/auth/reset/mail", json={"email": ada.email})).status_code == 202
            await until(lambda: server.log.read_text().count("mail_delayed") == 3)
        assert await asyncio.to_thread(server.stop) == 0
    assert len(mailbox.mails) == 10
