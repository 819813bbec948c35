"""Masking secrets in the output of jobs, in streams and in a CI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from chatpost.content.secrets import SecretMask
from tests.conftest import texts

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import Shell

# In pieces, so that scanners of repositories do not take them for real ones.
TOKENS = {
    "GitHub": "gh" + "p_0123456789abcdefghijABCDEFGHIJ012345",
    "GitHub, fine-grained": "github" + "_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz",
    "GitLab": "gl" + "pat-abcdefghij0123456789",
    "Slack": "xo" + "xb-123456789012-abcdefghijkl",
    "AWS": "AKI" + "AIOSFODNN7EXAMPLE",
    "Google": "AI" + "zaSyA1234567890abcdefghijklmnopqrstuv",
    "Google, access": "ya2" + "9.a0AfH6SMBx-0123456789abcdef",
    "JWT": "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_def",
    "npm": "np" + "m_0123456789abcdefghijklmnopqrstuvwxyz",
}
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAAtzc2gtZWQ\n-----END OPENSSH PRIVATE KEY-----"


def test_values_of_variables() -> None:
    """The values of variables with secret-like names are masked line by line, the longest first."""
    mask = SecretMask(
        {
            "GITHUB_TOKEN": "ghp_1234",
            "a_secret_b": "ghp_1234567",
            "PASSWORD": "short",
            "DEPLOY_KEY": "first line\n  indented line\n",
            "KEYBOARD": "not a secret",
        }
    )
    assert mask("ghp_1234567 ghp_1234 short not a secret indented line") == "*** *** short not a secret ***"


@pytest.mark.parametrize(
    "name",
    [
        "BORG_PASSPHRASE",
        "DB_PASS",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SSHPASS",
        "API_KEY_2",
        "AWS_CREDENTIALS",
        "BASIC_AUTH",
        "AUTHORIZATION",
        "client_secret",
        "Npm_Token",
        "APIKEY",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """Variables are known as secrets by parts of their names."""
    assert SecretMask({name: "tr0ub4dor"})("it is tr0ub4dor.") == "it is ***."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_KEY", "/home/me/.ssh/id_rsa"),
        ("TOKEN_FILE", "~/tokens/mine"),
        ("SECRETS", "./secrets/all"),
        ("KEY_PASS", "1234567890"),
        ("USE_AUTH", "disabled"),
        ("GIT_AUTHOR_NAME", "Ada Lovelace"),
        ("COMPASS", "north by west"),
        ("CHATPOST_THREAD_KEY", "nightly run"),
        ("PWD", "/var/lib/app"),
    ],
)
def test_values_that_are_no_secrets(name: str, value: str) -> None:
    """A path, a number, a boolean, an author or a thread key is not masked."""
    assert SecretMask({name: value})(f"cannot read {value}") == f"cannot read {value}"


def test_a_secret_that_looks_like_a_path() -> None:
    """A random value that begins with a slash is a secret."""
    value = "/abcDEF123456ghiJKL789/mnoPQRstuVWXyz012"
    assert SecretMask({"AWS_SECRET_ACCESS_KEY": value})(value) == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://app:s3cr3t@db/x", "postgres://app:***@db/x"),
        ("https://bot:T0K3N@host/a@b", "https://bot:***@host/a@b"),
        ("redis://:p@ss@host", "redis://:***@host"),
        ("amqp://u:pa/ss@host", "amqp://u:***@host"),
        ("ssh://git@github.example/x", "ssh://git@github.example/x"),
        ("http://host:8080/x@y", "http://host:8080/x@y"),
    ],
)
def test_passwords_in_urls(text: str, shown: str) -> None:
    """The password of any URL is masked; a port, or a user alone, is not."""
    assert SecretMask({})(text) == shown


def test_the_password_of_a_variable() -> None:
    """The password in a variable's URL is masked wherever it appears, as written and decoded."""
    mask = SecretMask({"DATABASE_URL": "postgres://app:s%40cr3t-word@db/x"})
    assert mask("s%40cr3t-word or s@cr3t-word at db") == "*** or *** at db"


@pytest.mark.parametrize("token", [*TOKENS.values(), KEY], ids=[*TOKENS, "private key"])
def test_well_known_tokens(token: str) -> None:
    """Keys and tokens of well-known services are masked by their form."""
    assert SecretMask({})(f"a={token}; b") == "a=***; b"


def test_a_private_key_in_a_stream() -> None:
    """Each line of a private key in a stream is masked, and no line after its end."""
    mask = SecretMask({})
    assert [mask.line(line) for line in f"a\n{KEY}\nb".split("\n")] == ["a", "***", "***", "***", "***", "b"]
    begin = KEY.partition("\n")[0]
    assert [mask.line(line) for line in (begin, *["x"] * 1000)][-1] == "x"


@pytest.mark.parametrize(
    "piece", ["://a:", "://", "eyJ", "a@", "xox", '"x:y@', "-----BEGIN RSA PRIVATE KEY-----", "gh"]
)
def test_masking_is_linear(piece: str) -> None:
    """Masking twice the text takes at most some three times the CPU time."""
    mask = SecretMask({"A_TOKEN": "s3cr3t-word"})

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        mask(text)
        return time.process_time() - began

    seconds(1000)
    assert min(seconds(400_000) for _ in range(3)) < 3.5 * min(seconds(200_000) for _ in range(3)) + 0.05


@pytest.fixture
def secrets(shell: Shell) -> Shell:
    """Return the command in an environment with secrets."""
    shell.env |= {"BORG_PASSPHRASE": "tr0ub4dor", "DATABASE_URL": "postgres://app:hunter-two@db/x"}
    return shell


PRINTED = f"tr0ub4dor hunter-two https://bot:T0K3N9@host {TOKENS['GitHub']}"
MASKED = "*** *** https://bot:***@host ***"


def test_the_output_of_a_job(secrets: Shell, chat: Emulator) -> None:
    """`run` masks secrets in the output and in the command line, but passes the output through unchanged."""
    done = secrets("run", "--show-command", "--", "echo", PRINTED, redirect="> out.txt")
    assert done.status == 0
    assert (secrets.home / "out.txt").read_text() == f"{PRINTED}\n"
    assert texts(chat)[0].count(MASKED) == 2


def test_a_followed_stream(secrets: Shell, chat: Emulator) -> None:
    """`thread --follow` masks secrets in the lines of stdin, and private keys."""
    assert secrets("thread", "--follow", "--every", "0.1s", "start", stdin=f"{PRINTED}\n{KEY}\nend\n").status == 0
    posted = "\n".join(texts(chat))
    assert MASKED in posted
    assert "b3BlbnNzaC1rZXk" not in posted
    assert "end" in posted


def test_a_text_in_a_ci(secrets: Shell, chat: Emulator) -> None:
    """`--ci` masks secrets in the text, typed or piped, and in the run's own values."""
    secrets.env |= {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "tr0ub4dor", "GITHUB_REF_TYPE": "branch"}
    assert secrets("send", "--ci", "--as", "text", PRINTED).status == 0
    assert secrets("send", "--ci", "--as", "text", "said:", "-", stdin=PRINTED).status == 0
    assert all(MASKED in text for text in texts(chat))
    assert all("*Branch*: ***" in text.replace("\u200b", "") for text in texts(chat))
