"""The queue of one process: orders that wait to be written, and mails that wait to be sent."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Literal, Protocol

from app.auth.notices import OwnersNotice
from app.core.clock import stopwatch
from app.core.errors import ServiceUnavailable
from app.core.logging import get_logger
from app.mail.errors import MailQueueFull
from app.mail.orders import Mail, Order

logger = get_logger("app.mail")

CAPACITY = 1000
ROOM_FOR_NOTICES = 200
"""Beyond that: a flood of requests keeps no owner from being told."""
RETRY_SECONDS = (5, 30, 120)
DEADLINE_SECONDS = 10
STOP_SECONDS = 10
BUSY_SECONDS = 60


class NotSent(Exception):
    """The mail server did not take a mail; `reason` names no address. If it is `final`, asking again does not help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Writer(Protocol):
    """Makes mails of orders."""

    async def write(self, order: Order) -> list[Mail]:
        """Look up for whom it is, and return what is to be sent, if anything. Raises: ServiceUnavailable."""


class Carrier(Protocol):
    """Hands mails in."""

    def send(self, mail: Mail) -> None:
        """Hand one in, in a thread. Raises: NotSent."""

    def abort(self) -> None:
        """Let the one that is being handed in fail."""


Outcome = Literal["mail_sent", "mail_withheld", "mail_delayed", "mail_failed"]
Report = Callable[[Outcome, Mail | Order, str | None], None]
"""Called with what has become of a mail, and why."""


class _Job:
    """An order or a mail, and how often it was tried."""

    def __init__(self, content: Mail | Order) -> None:
        self.content = content
        self.tries = 0


class Post:
    """Takes orders and sends mails, one after the other. What waits is lost if the process is killed."""

    def __init__(self) -> None:
        self.waiting = 0
        self._took = 0.0
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._later: dict[_Job, asyncio.TimerHandle] = {}
        self._stopping = False
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, writer: Writer, carrier: Carrier, report: Report) -> None:
        """Begin to send."""
        self._writer, self._carrier, self._report = writer, carrier, report
        self._task = asyncio.create_task(self._work())

    def require_room(self) -> None:
        """Raise MailQueueFull if no more may wait."""
        if self.waiting >= CAPACITY:
            raise MailQueueFull(retry_after_seconds=BUSY_SECONDS)

    def put(self, order: Order) -> None:
        """Take an order. Raises: MailQueueFull."""
        self.require_room()
        self._add(order)

    def tell(self, notice: OwnersNotice) -> None:
        """Take a notice of what has happened already, so that it fails quietly."""
        if self.waiting >= CAPACITY + ROOM_FOR_NOTICES:
            self._report("mail_failed", notice, "too many mails wait")
        else:
            self._add(notice)

    async def close(self) -> None:
        """Send what waits, each once more, for ten seconds at most."""
        if self._task is None:
            return
        self._stopping = True
        for job, timer in self._later.items():
            timer.cancel()
            self._jobs.put_nowait(job)
        self._later.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._idle_again()
        self._task.cancel()
        self._carrier.abort()
        with suppress(asyncio.CancelledError):
            await self._task
        while not self._jobs.empty():
            self._finish(self._jobs.get_nowait(), "mail_failed", "the service has stopped")

    async def _idle_again(self) -> None:
        while self.waiting:
            self._idle.clear()
            await self._idle.wait()

    def _add(self, content: Mail | Order) -> None:
        self.waiting += 1
        self._jobs.put_nowait(_Job(content))

    def _finish(self, job: _Job, what: Outcome | None = None, reason: str | None = None) -> None:
        self.waiting -= 1
        if not self.waiting:
            self._idle.set()
        if what:
            self._report(what, job.content, reason)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await self._advance(job)
            except asyncio.CancelledError:
                self._finish(job, "mail_failed", "the service has stopped")
                raise
            except Exception as error:  # whatever it is, the others must be sent
                logger.exception("unhandled_error")
                self._finish(job, "mail_failed", type(error).__name__)

    async def _advance(self, job: _Job) -> None:
        """Write what is an order, and send what is a mail; later again, if that cannot be done now."""
        try:
            if isinstance(job.content, Mail):
                await self._send_in_equal_time(job.content)
                self._finish(job, "mail_sent" if job.content.to else "mail_withheld")
            else:
                for mail in await self._writer.write(job.content):
                    self._add(mail)
                self._finish(job)
        except NotSent as error:
            self._put_off(job, error.reason, final=error.final)
        except ServiceUnavailable:
            self._put_off(job, "the database or Redis does not answer")

    def _put_off(self, job: _Job, reason: str, *, final: bool = False) -> None:
        job.tries += 1
        if final or self._stopping or job.tries > len(RETRY_SECONDS):
            self._finish(job, "mail_failed", reason)
            return
        self._report("mail_delayed", job.content, reason)
        wait = RETRY_SECONDS[job.tries - 1]
        self._later[job] = asyncio.get_running_loop().call_later(wait, self._again, job)

    def _again(self, job: _Job) -> None:
        del self._later[job]
        self._jobs.put_nowait(job)

    async def _send_in_equal_time(self, mail: Mail) -> None:
        """Take as long for a mail to nobody as for the last one: the next in the queue could tell. Raises: NotSent."""
        began = stopwatch()
        await self._send(mail)
        took = stopwatch() - began
        if mail.to:
            self._took = took
        elif not self._stopping:
            await asyncio.sleep(self._took - took)

    async def _send(self, mail: Mail) -> None:
        """Hand a mail in, in the thread, and cut it off if the server takes too long. Raises: NotSent."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(DEADLINE_SECONDS, self._carrier.abort)
        try:
            await self._in_thread(mail)
        finally:
            timer.cancel()

    async def _in_thread(self, mail: Mail) -> None:
        """Hand a mail in, in a thread that does not keep the process: nothing cuts off looking up a host's name."""
        loop = asyncio.get_running_loop()
        handed_in: asyncio.Future[None] = loop.create_future()

        def end(error: Exception | None) -> None:
            if handed_in.done():
                return
            if error:
                handed_in.set_exception(error)
            else:
                handed_in.set_result(None)

        def hand_in() -> None:
            failed = None
            try:
                self._carrier.send(mail)
            except Exception as error:
                failed = error
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(end, failed)

        Thread(target=hand_in, name="mail", daemon=True).start()
        await handed_in
