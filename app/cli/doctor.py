"""`python -m app doctor`."""

from collections.abc import Iterator

from app.cli.serve import database_running
from app.cli.trial import try_out
from app.core.config import Settings
from app.operations.doctor import Finding, examine


def doctor(settings: Settings) -> None:
    """Print what was found. Exits with 1 if the service cannot run."""
    with database_running(settings) as ready:
        if not report(ready):
            raise SystemExit(1)


def _everything(settings: Settings) -> Iterator[Finding]:
    yield from examine(settings, try_out)
    if settings.mail_url:
        from app.cli.mail import look_at_mail  # mail is off for many

        yield from look_at_mail(settings)


def report(settings: Settings) -> bool:
    """Print what was found; True if the service can run."""
    findings = []
    for finding in _everything(settings):
        print(f"{finding.verdict:<5} {finding.what:<12} {finding.how}", flush=True)
        findings.append(finding)
    return all(finding.verdict != "fail" for finding in findings)
