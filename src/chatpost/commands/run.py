"""`chatpost run`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import click

from chatpost.cli.console import say
from chatpost.cli.help import SectionedCommand
from chatpost.cli.job_options import CARD_OF_JOB, CHANGE, FOLLOWING_JOB, JOB, REPORT, TELLING_JOB
from chatpost.cli.option import Settings
from chatpost.cli.posting import thread_of
from chatpost.cli.running import JobFollower, JobReporter
from chatpost.cli.sections import ENVELOPE, PACING, RETRYING, SPOOLING, STYLE, THREAD, WHERE
from chatpost.cli.signals import last_words
from chatpost.errors import UsageError
from chatpost.jobs.job import Job
from chatpost.jobs.output import Output
from chatpost.processes import die_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.jobs.job import Ending

EXAMPLES = """\
chatpost run -- ./backup.sh --full
chatpost run --on change --name backup -- ./backup.sh
chatpost run --on failure --mention all --tail 50 -- make check
chatpost run --follow --time-limit 3600 -- ./deploy.sh 1.2
chatpost run --merge -- sh -c "./export.sh | gzip > export.gz"\
"""


@click.command(
    cls=SectionedCommand,
    sections=(
        *(WHERE, THREAD, JOB, CHANGE, REPORT, FOLLOWING_JOB),
        *(STYLE, CARD_OF_JOB, ENVELOPE, RETRYING, PACING, SPOOLING, TELLING_JOB),
    ),
    short=("profile", "name", "on", "remind", "tail", "time_limit", "follow", "mention", "no_output", "output"),
    examples=EXAMPLES,
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, /, command: Sequence[str], **_: object) -> int:
    """Run a job, post how it went, and exit as it did.

    The job has your stdin, and its output goes to yours as it comes. Whatever becomes of the message, the exit status
    is the job's.
    """
    settings = Settings(ctx)
    _check(ctx, settings)
    running = settings[JOB]
    if settings[FOLLOWING_JOB].follow:
        follower = JobFollower(ctx, command, settings)
        job = Job(command, Output(follower.listen), is_merged=running.merge)
        follower.start()
        ending = job.wait(running.time_limit)
        _tell(job, ending, command[0])
        with last_words(lambda: say("interrupted: not all may be posted"), die=partial(_end_as, ending)):
            follower.end(ending)
    else:
        reporter = JobReporter(ctx, command, settings)
        output = None if running.no_output else Output()
        job = Job(command, output, is_merged=running.merge)
        ending = job.wait(running.time_limit)
        _tell(job, ending, command[0])
        reporter.report(ending, output, partial(_end_as, ending))
    if ending.signal is not None:
        _end_as(ending)
    return ending.status


def _check(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for options that do not go together: before the job starts."""
    if isinstance(ctx.command, SectionedCommand):
        settings.check(ctx.command.sections)
    thread_of(settings)
    running, is_followed = settings[JOB], settings[FOLLOWING_JOB].follow
    quick = settings[CARD_OF_JOB]
    msg = None
    if settings[TELLING_JOB].dry_run:
        msg = "--dry-run would run the job all the same: try the message with chatpost send --dry-run"
    elif running.no_output and (is_followed or running.merge):
        msg = f"--no-output cannot be used with {'--follow' if is_followed else '--merge'}: leave one of them out"
    elif is_followed and settings[CHANGE].on != "always":
        msg = "--follow posts while the job runs, so --on must be always: leave one of them out"
    elif (quick.subtitle or quick.icon) and not quick.title:
        msg = "--subtitle and --icon need a title: add --title"
    elif is_followed and (settings.typed("spool") or settings.typed("spool_first")):
        msg = "--follow posts while the job runs, so nothing of it is kept: leave out --spool"
    if msg:
        raise UsageError(msg)


def _tell(job: Job, ending: Ending, command: str) -> None:
    """Say what a shell would have said."""
    if ending.failure is not None:
        say(f"{command} could not be started: {ending.failure}")
    for stream, reason in job.failures_to_write.items():
        say(
            f"{'stdout' if stream == 1 else 'stderr'} could not be written, so not all of the output is there: {reason}"
        )


def _end_as(ending: Ending, _number: int = 0) -> NoReturn:
    """End this process as the job has ended."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):
            stream.flush()
    if ending.signal is not None:
        _dump_no_core()
        die_of(ending.signal)
    os._exit(ending.status)


def _dump_no_core() -> None:
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
