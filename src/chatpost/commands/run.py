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
from chatpost.cli.completion import complete_file
from chatpost.cli.console import say
from chatpost.cli.options import ONE_PROFILE, PACING, PROFILES, REQUEST, RETRY, SPOOL, THREAD
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.commands.posting import configure, find_thread
from chatpost.commands.reporting_job import JobFollower, JobReporter
from chatpost.directories import find_profile_file
from chatpost.errors import ConfigurationError, UsageError, VariablesClash
from chatpost.jobs.output import Output
from chatpost.jobs.process import ExitResult, Job, hint_for
from chatpost.processes import exit_now, report_on_signal, reraise_signal
from chatpost.profiles.sources import NAMED_TWICE
from chatpost.profiles.users import MentionResolver, UnknownUser

EXAMPLES = """\
chatpost run -- ./backup.sh --full
chatpost run --on change --name backup -- ./backup.sh
chatpost run --on failure --mention all --tail 50 -- make check
chatpost run --follow --time-limit 1h -- ./deploy.sh 1.2
chatpost run --merge -- sh -c "./export.sh | gzip > export.gz"\
"""


class _RunCommand(SectionedCommand):
    """Runs the job even if a variable of chatpost has an invalid value: its option then has its default."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        wrong: dict[str, str] = {}
        try:
            while True:
                try:
                    return super().make_context(info_name, list(args), parent, **extra)
                except click.BadParameter as error:
                    variable = error.param and error.param.envvar
                    if error.param is None or error.ctx is None or not isinstance(variable, str):
                        raise
                    source = error.ctx.get_parameter_source(error.param.name or "")
                    if source is not ParameterSource.ENVIRONMENT or variable not in os.environ:
                        raise
                    say(f"ignoring {variable}: {error.message}", "warning")
                    wrong[variable] = os.environ.pop(variable)
        finally:
            os.environ.update(wrong)  # the job's environment stays unchanged


@click.command(
    cls=_RunCommand,
    sections=(
        *(PROFILES, THREAD, JOB, NOTIFY, REPORT, FOLLOW_JOB),
        *(STYLE_OF_JOB, CARD_OF_JOB, REQUEST, RETRY, PACING, SPOOL, OUTPUT_OF_JOB),
    ),
    short=("profile", "name", "on", "remind_every", "tail", "time_limit", "follow", "mention", "no_output", "output"),
    examples=EXAMPLES,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS] --",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=complete_file)
@click.pass_context
def run(ctx: click.Context, /, command: Sequence[str], **_: object) -> int:
    """Run a job and post its outcome.

    The job inherits stdin; its output is passed through unchanged. Exits with the job's status, even if posting fails.
    """
    settings = Settings(ctx)
    _check(ctx, settings)
    options = settings[JOB]
    follower = JobFollower(ctx, command) if settings[FOLLOW_JOB].follow else None
    reporter = follower or JobReporter(ctx, command)
    output = None if options.no_output else Output()
    if follower is not None:
        output = Output(follower.listen)
    job = Job(command, output, ctx.obj.environment, is_merged=options.merge)
    if follower is not None and job.failed is None:
        follower.start()
    result = job.wait(options.time_limit)
    with _signals_after(result):
        job.release()
        if result.failure is not None:
            hint = hint_for(command) if result.failure == "not found" else ""
            say(f"{command[0]} could not be started: {result.failure}{hint}", "error")
        if result.lost_output is not None:
            say(f"cannot write the job's output: {result.lost_output}", "error")
        reporter.report(result, output, partial(_exit_as, result))
    if result.signal is not None:
        _exit_as(result)
    return result.status


def _check(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for options that cannot be used together."""
    with suppress(VariablesClash):  # a variable never keeps the job from running
        if isinstance(ctx.command, SectionedCommand):
            settings.check(ctx.command.sections)
        if settings.from_command_line("fallback_new_thread") is False:
            _check_threads(ctx, settings)
    if ctx.params["mention"]:
        _check_mentions(ctx, settings)
    is_followed = settings[FOLLOW_JOB].follow
    profiles, typed = settings[PROFILES].profile, settings.from_command_line
    if typed("dry_run"):
        raise UsageError(
            "--dry-run cannot be used with run, which would still run the job: use chatpost send --dry-run"
        )
    if len(set(profiles)) < len(profiles):
        raise UsageError(NAMED_TWICE)
    if is_followed and len(profiles) > 1:
        raise UsageError(ONE_PROFILE)
    if typed("no_output") and (typed("follow") or typed("merge")):
        other = "--follow" if is_followed else "--merge"
        raise UsageError(f"--no-output cannot be used with {other}: remove one of them")
    if is_followed and (typed("longer_than") or typed("on") not in {None, "always"}):
        raise UsageError("--follow posts while the job runs, so it requires --on always, and no --longer-than")
    if is_followed and (typed("spool") or typed("spool_only")):
        raise UsageError("--follow cannot be used with --spool or --spool-only: it posts lines as they arrive")


def _check_threads(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for ``--or-fail`` without a thread, which a profile can set."""
    path = find_profile_file(settings[PROFILES].config)
    with suppress(OSError, ConfigurationError):  # reported once there is a message to post
        if path is None or path.is_file():  # a pipe can be read only once
            for each in configure(ctx, Reporter(settings[OUTPUT_OF_JOB]._replace(quiet=True), ctx.obj)):
                find_thread(each.settings)


def _check_mentions(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for an unknown name on the command line; remove it with a warning if it is in a variable."""
    path = find_profile_file(settings[PROFILES].config)
    with suppress(OSError):
        if path is not None and not path.is_file():  # a pipe can be read only once
            return
        resolver, known = MentionResolver(None, settings[PROFILES].config), []
        for user in ctx.params["mention"]:
            try:
                resolver.user_ids((user,))
            except UnknownUser as error:
                if settings.from_command_line("mention"):
                    raise UsageError(str(error)) from None
                say(f"ignoring a name in CHATPOST_MENTION: {error}", "warning")
                continue
            except ConfigurationError:  # must not keep the job from running; reported when there is a message to post
                pass
            known.append(user)
        ctx.params["mention"] = tuple(known)


@contextmanager
def _signals_after(result: ExitResult) -> Iterator[None]:
    """In this context, signals are not forwarded to the job: those that end a process end this one as the job ended."""
    found = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    if signal.getsignal(signal.SIGQUIT) is not signal.SIG_IGN:
        found[signal.SIGQUIT] = signal.signal(signal.SIGQUIT, lambda *_: _exit_as(result))
    try:
        with report_on_signal(lambda: None, die=partial(_exit_as, result)):
            yield
    finally:
        for number, action in found.items():
            signal.signal(number, action)


def _exit_as(result: ExitResult, _number: int = 0) -> NoReturn:
    """End this process as the job ended: with its exit status, or by its signal, without a core dump."""
    if result.signal is not None:
        import resource

        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        reraise_signal(result.signal)
    exit_now(result.status)
