"""`chatpost run`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from chatpost.cli.app import SectionedCommand
from chatpost.cli.command_options import CARD_OF_JOB, FOLLOW_JOB, JOB, NOTIFY, OUTPUT_OF_JOB, REPORT, STYLE_OF_JOB
from chatpost.cli.console import say
from chatpost.cli.options import PACING, PROFILES, REQUEST, RETRY, SPOOL, THREAD, complete_file
from chatpost.cli.settings import Settings
from chatpost.commands.following import ONE_PROFILE
from chatpost.commands.posting import optional_thread
from chatpost.commands.reporting_job import JobFollower, JobReporter
from chatpost.directories import find_profile_file
from chatpost.errors import ConfigurationError, UsageError, VariablesClash
from chatpost.jobs.output import Output
from chatpost.jobs.process import ExitResult, Job
from chatpost.processes import exit_now, report_on_signal, reraise_signal
from chatpost.profiles.sources import NAMED_TWICE
from chatpost.profiles.users import MentionResolver, UnknownUser

EXAMPLES = """\
chatpost run -- ./backup.sh --full
chatpost run --on change --name backup -- ./backup.sh
chatpost run --on failure --mention all --tail 50 -- make check
chatpost run --follow --time-limit 3600 -- ./deploy.sh 1.2
chatpost run --merge -- sh -c "./export.sh | gzip > export.gz"\
"""


class _RunCommand(SectionedCommand):
    """Runs the job even if a variable of ours is wrong: then its option has its default."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        wrong: dict[str, str] = {}
        try:
            while True:
                try:
                    return super().make_context(info_name, list(args), parent, **extra)
                except click.BadParameter as error:
                    variable = _variable_of(error)
                    if variable is None:
                        raise
                    say(f"warning: {variable} is not used: {error.message}")
                    wrong[variable] = os.environ.pop(variable)
        finally:
            os.environ.update(wrong)  # the job gets it as it was


def _variable_of(error: click.BadParameter) -> str | None:
    """Return the variable that has a wrong value, if it is one."""
    if error.param is None or error.ctx is None or not isinstance(error.param.envvar, str):
        return None
    source = error.ctx.get_parameter_source(error.param.name or "")
    return error.param.envvar if source is ParameterSource.ENVIRONMENT and error.param.envvar in os.environ else None


@click.command(
    cls=_RunCommand,
    sections=(
        *(PROFILES, THREAD, JOB, NOTIFY, REPORT, FOLLOW_JOB),
        *(STYLE_OF_JOB, CARD_OF_JOB, REQUEST, RETRY, PACING, SPOOL, OUTPUT_OF_JOB),
    ),
    short=("profile", "name", "on", "remind", "tail", "time_limit", "follow", "mention", "no_output", "output"),
    examples=EXAMPLES,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS] --",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=complete_file)
@click.pass_context
def run(ctx: click.Context, /, command: Sequence[str], **_: object) -> int:
    """Run a job, post how it went, and exit as it did.

    The job has your stdin, and its output goes to yours as it comes. Whatever becomes of the message, the exit status
    is the job's.
    """
    settings = Settings(ctx)
    _check(ctx, settings)
    options = settings[JOB]
    reporter: JobReporter
    if settings[FOLLOW_JOB].follow:
        reporter = follower = JobFollower(ctx, command)
        output: Output | None = Output(follower.listen)
        job = Job(command, output, ctx.obj.environment, is_merged=options.merge)
        if job.failed is None:
            follower.start()
    else:
        reporter = JobReporter(ctx, command)
        output = None if options.no_output else Output()
        job = Job(command, output, ctx.obj.environment, is_merged=options.merge)
    result = job.wait(options.time_limit)
    with _signals_after(result):
        job.release()
        _say_failure(result, command[0])
        reporter.report(result, output, partial(_exit_as, result))
    if result.signal is not None:
        _exit_as(result)
    return result.status


def _check(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for options that do not go together: before the job starts."""
    with suppress(VariablesClash):  # a wrong variable keeps no job from running
        if isinstance(ctx.command, SectionedCommand):
            settings.check(ctx.command.sections)
        optional_thread(settings)
    _check_mentions(ctx, settings)
    is_followed = settings[FOLLOW_JOB].follow
    profiles, typed = settings[PROFILES].profile, settings.from_command_line
    msg = None
    if typed("dry_run"):
        msg = "--dry-run would run the job all the same: try the message with chatpost send --dry-run"
    elif len(set(profiles)) < len(profiles):
        msg = NAMED_TWICE
    elif is_followed and len(profiles) > 1:
        msg = ONE_PROFILE
    elif typed("no_output") and (typed("follow") or typed("merge")):
        msg = f"--no-output cannot be used with {'--follow' if is_followed else '--merge'}: leave one of them out"
    elif is_followed and typed("on") not in {None, "always"}:
        msg = "--follow posts while the job runs, so --on must be always: leave one of them out"
    elif is_followed and (typed("spool") or typed("spool_first")):
        msg = "--follow posts while the job runs, so nothing of it is kept: leave out --spool"
    if msg:
        raise UsageError(msg)


def _check_mentions(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for an unknown name on the command line; leave one in a variable out, with a warning."""
    if not ctx.params["mention"]:
        return
    config = settings[PROFILES].config
    names = MentionResolver(None, config)

    def is_known(user: str) -> bool:
        try:
            names.user_ids((user,))
        except UnknownUser as error:
            if settings.from_command_line("mention"):
                raise UsageError(str(error)) from None
            say(f"warning: a name in CHATPOST_MENTION is left out: {error}")
            return False
        except ConfigurationError:  # must not keep a job from running, and is reported when there is something to post
            return True
        return True

    path = find_profile_file(config)
    with suppress(OSError):
        if path is None or path.is_file():  # a pipe can be read only once
            ctx.params["mention"] = tuple(filter(is_known, ctx.params["mention"]))


@contextmanager
def _signals_after(result: ExitResult) -> Iterator[None]:
    """In this context signals are no longer the job's: those that end a process end this one as the job has ended."""
    actions = {signal.SIGUSR1: signal.SIG_IGN, signal.SIGUSR2: signal.SIG_IGN}
    found = {number: signal.signal(number, action) for number, action in actions.items()}
    if signal.getsignal(signal.SIGQUIT) is not signal.SIG_IGN:
        found[signal.SIGQUIT] = signal.signal(signal.SIGQUIT, lambda *_: _exit_as(result))
    try:
        with report_on_signal(lambda: None, die=partial(_exit_as, result)):
            yield
    finally:
        for number, action in found.items():
            signal.signal(number, action)


def _say_failure(result: ExitResult, command: str) -> None:
    """Say what a shell, or the job, would have said."""
    if result.failure is not None:
        say(f"{command} could not be started: {result.failure}")
    if result.lost_output is not None:
        say(f"the output could not be written: {result.lost_output}")


def _exit_as(result: ExitResult, _number: int = 0) -> NoReturn:
    """End this process as the job has ended."""
    if result.signal is not None:
        _dump_no_core()
        reraise_signal(result.signal)
    exit_now(result.status)


def _dump_no_core() -> None:
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
