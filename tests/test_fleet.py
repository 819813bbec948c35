"""Fleets: machines share a Redis for pacing and the outbox, and a faulty Redis never blocks a message."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import TYPE_CHECKING, TypeAlias

import pytest
import trustme

from chatpost.emulator.faults import Fault, Kind
from chatpost.errors import ConfigurationError, StorageError
from chatpost.outbox.model import Origin
from chatpost.outbox.redis import RedisOutbox
from chatpost.pacing.redis import RedisPacer
from chatpost.redis_client import RedisClient
from tests.conftest import KEY, TOKEN, InProcess, Running, Shell, answering, texts, wait_for
from tests.redis_servers import PortProcess, RedisProcess, forwarded
from tests.servers import answering_redis, raw_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chatpost.emulator import Emulator
    from chatpost.emulator.server import Received

Watch: TypeAlias = "Callable[..., Running]"

PASSWORD = "made-up:password@of/the?tests"
ENCODED = "made-up%3Apassword%40of%2Fthe%3Ftests"
ALONE = "messages are paced on this machine only: "


@pytest.fixture
def own() -> Iterator[RedisProcess]:
    """Start a redis-server that only this test uses, so the test may stop or reconfigure it."""
    with RedisProcess() as process:
        yield process


@pytest.fixture
def shell(tmp_path: Path, chat: Emulator) -> Shell:
    """Return the installed command, with pacing enabled."""
    shell = Shell(tmp_path)
    del shell.env["CHATPOST_PACING"]
    shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
    return shell


def queues(redis: RedisProcess) -> list[str]:
    """Return the keys of pacing in Redis, one for each paced space."""
    return [key.decode() for key in redis.call("KEYS", "chatpost:*:gate")]


# The URL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://redis.internal", "redis://redis.internal"),
        ("redis://user:secret@redis.internal:7000/3", "redis://redis.internal:7000/3"),
        ("redis://:p@ss@redis.internal/?db=2", "redis://redis.internal/"),
        ("rediss://[::1]:7000", "rediss://[::1]:7000"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("unix://user:secret@/run/redis.sock", "unix:///run/redis.sock"),
        ("redis+sentinel://u:p@a,b:7000/main/2", "redis+sentinel://a,b:7000/main/2"),
        ("rediss+cluster://u:secret@a,b?client_name=secret", "rediss+cluster://a,b"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    """The URL in messages omits the user, the password and the options."""
    assert RedisClient(url, 1).url == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://secret", "does not begin with redis://"),
        ("secret", "does not begin with redis://"),
        ("redis://a:secret", "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]; in a password, write %2F"),
        ("redis://u:se/cret@host", "does not have the form redis://"),
        ("redis://host/secret", "does not have the form redis://"),
        ("redis://host/1/secret", "does not have the form redis://"),
        ("redis://a,secret", "does not have the form redis://"),
        ("redis+sentinel://secret", "HOST[:PORT],.../SERVICE[/DATABASE]; in a password"),
        ("redis+cluster://a/secret", "redis+cluster://[[USER]:PASSWORD@]HOST[:PORT],...; in a password"),
        ("unix://secret", "unix://[[USER]:PASSWORD@]/PATH; in a password"),
        ("redis://a b/secret", "does not have the form redis://"),
        ("redis://:12#secret@host", "does not have the form redis://"),
        ("redis://:12?secret@host", "does not have the form redis://"),
        ("redis+sentinel://:12/secret@host", "does not have the form redis+sentinel://"),
        ("redis://[secret", "does not have the form redis://"),
        ("redis://:[secret]@host", "does not have the form redis://"),
        ("redis://se%63ret", "does not have the form redis://"),
    ],
)
def test_urls_that_are_wrong(url: str, said: str) -> None:
    """An error in a Redis URL is described without quoting any part of the URL."""
    with pytest.raises(ConfigurationError) as error:
        RedisClient(url, 1)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("source", ["variable", "text", "env", "file", "command"])
def test_sources(shell: Shell, redis: RedisProcess, source: str) -> None:
    """The Redis URL is in CHATPOST_REDIS_URL, or in profiles.toml in any form that a profile's URL can have."""
    url = shell.env["CHATPOST_URL"]
    if source == "variable":
        shell.env["CHATPOST_REDIS_URL"] = redis.url
    else:
        (shell.home / "redis-url").write_text(f"{redis.url}\n")
        setting = {
            "text": f'"{redis.url}"',
            "env": '{ env = "OUR_REDIS" }',
            "file": f'{{ file = "{shell.home}/redis-url" }}',
            "command": f'{{ command = ["cat", "{shell.home}/redis-url"] }}',
        }[source]
        shell.env["OUR_REDIS"] = redis.url
        shell.write_profiles(f'redis = {setting}\n[profiles.ops]\nurl = "{url}"\n')
        del shell.env["CHATPOST_URL"]
    done = shell("send", "hello")
    done.expect(0)
    assert done.err == ""
    assert len(queues(redis)) == 1


def test_no_redis(shell: Shell, redis: RedisProcess) -> None:
    """An empty CHATPOST_REDIS_URL disables the Redis of the profile file."""
    shell.write_profiles(f'redis = "{redis.url}"\n[profiles.ops]\nurl = "{shell.env["CHATPOST_URL"]}"\n')
    shell.env["CHATPOST_REDIS_URL"] = ""
    done = shell("send", "-p", "ops", "hello")
    done.expect(0)
    assert done.err == ""
    assert queues(redis) == []


@pytest.mark.parametrize("where", ["TCP", "TLS", "an option of redis-py"])
def test_ways_to_redis(shell: Shell, own: RedisProcess, where: str) -> None:
    """The client connects by TCP or TLS, with a user, a password, a database, and redis-py's options in the URL."""
    own.call("ACL", "SETUSER", "fleet", "on", f">{PASSWORD}", "~chatpost:*", "+@all")
    tls, authority = SSLContext(PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    ca = shell.home / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    with forwarded(own.socket, tls if where != "TCP" else None) as port:
        scheme = "redis" if where == "TCP" else "rediss"
        option = f"?ssl_ca_certs={ca}" if where == "an option of redis-py" else ""
        shell.env["CHATPOST_REDIS_URL"] = f"{scheme}://fleet:{ENCODED}@127.0.0.1:{port}/3{option}"
        if where == "TLS":
            shell.env["SSL_CERT_FILE"] = str(ca)
        shell("profiles", "check").expect(0, f"{port}/3: ok, version")
        # A send waits at most half a second for Redis, which may be too short for this one.
        wait_for(
            "a send by this Redis",
            lambda: shell("send", "hello").status == 0 and b"db3:" in own.call("INFO", "keyspace"),
        )
        shell.env["CHATPOST_REDIS_URL"] = f"{scheme}://fleet:wrong@127.0.0.1:{port}/3{option}"
        shell("profiles", "check").expect(78, f"{port}/3", "its user or password is wrong")


def test_a_certificate_that_is_not_trusted(shell: Shell, own: RedisProcess) -> None:
    """A Redis with an untrusted certificate does not receive the password, and the message is still posted."""
    tls, authority = SSLContext(PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with forwarded(own.socket, tls) as port:
        shell.env["CHATPOST_REDIS_URL"] = f"rediss://:{ENCODED}@127.0.0.1:{port}"
        shell("send", "hello").expect(0, ALONE)
        shell("profiles", "check").expect(78, "its certificate is not trusted")


def test_a_cluster(shell: Shell, chat: Emulator) -> None:
    """Pacing and the outbox work on a Redis Cluster, through the `redis+cluster` scheme."""
    with PortProcess("--cluster-enabled", "yes") as node:
        node.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for("the cluster to be ready", lambda: b"cluster_state:ok" in node.call("CLUSTER", "INFO"))
        shell.env["CHATPOST_REDIS_URL"] = f"redis+cluster://127.0.0.1:{node.port}"
        shell.env["CHATPOST_OUTBOX"] = "redis"
        wait_for("an answer within half a second", lambda: shell("send", "hello").expect(0).err == "")
        assert shell("send", "--spool-only", "later").status == 0
        assert shell("outbox", "flush").status == 0
        assert "ok, version" in shell("profiles", "check").err
    assert texts(chat)[-2:] == ["hello", "later"]


def test_sentinel(shell: Shell, chat: Emulator) -> None:
    """With `redis+sentinel`, chatpost asks Sentinel for the primary of the service."""
    with PortProcess() as primary:
        watch = f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
        with PortProcess("--sentinel", config=watch) as sentinel:
            shell.env["CHATPOST_REDIS_URL"] = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
            wait_for("an answer within half a second", lambda: shell("send", "hello").expect(0).err == "")
            assert primary.call("DBSIZE") == 1
            shell.env["CHATPOST_REDIS_URL"] += "x"
            done = shell("send", "again")
            done.expect(0, ALONE)
            assert "its sentinels know no primary of this service" in done.err
    assert texts(chat)[-2:] == ["hello", "again"]


# Faults --------------------------------------------------------------------------------------------------------


def stop(redis: RedisProcess) -> None:
    redis.signal(signal.SIGSTOP)


def fill(redis: RedisProcess) -> None:
    redis.call("CONFIG", "SET", "maxmemory", 1)


def change_password(redis: RedisProcess) -> None:
    redis.call("CONFIG", "SET", "requirepass", PASSWORD)


def make_replica(redis: RedisProcess) -> None:
    redis.call("REPLICAOF", "127.0.0.1", 1)


def take_keys(redis: RedisProcess) -> None:
    for key in queues(redis):
        redis.call("SET", key, "not ours")


FAULTS: dict[str, tuple[Callable[[RedisProcess], None], str]] = {
    "away": (RedisProcess.kill, "no such file"),
    "stopped": (stop, "did not answer within 0.5 s"),
    "full": (fill, "it is full"),
    "a new password": (change_password, "it requires a password"),
    "a replica": (make_replica, "it is a read-only replica"),
    "keys of others": (take_keys, "another program uses keys"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_never_in_the_way(shell: Shell, chat: Emulator, own: RedisProcess, fault: str) -> None:
    """If Redis cannot be used, chatpost prints one warning and posts the message anyway."""
    shell.env["CHATPOST_REDIS_URL"] = own.url
    assert shell("send", "before").err == ""
    inflict, said = FAULTS[fault]
    inflict(own)
    done = shell("send", "hello")
    assert (done.status, texts(chat)) == (0, ["before", "hello"])
    assert done.err.startswith(f"chatpost: warning: {ALONE}{own.url} cannot be used: ")
    assert said in done.err
    assert done.err.count("\n") == 1
    own.signal(signal.SIGCONT) if fault == "stopped" else None


def waiting_sender(shell: Shell, chat: Emulator, redis: RedisProcess) -> Running:
    """Start a sender and wait until it is waiting for its turn in Redis."""
    shell.env["CHATPOST_REDIS_URL"] = redis.url
    pacer = RedisPacer(redis.client(), pytest.fail, timeout=30)
    pacer.turn(f"{chat.url().partition('/v1/')[0]}/spaces/AAAA", 1.1).close_for(20)
    running = shell.start("send", "-v", "--deadline", "900", "hello")
    running.wait_to_say("for its turn in the space")
    return running


# Redis does not ask an open connection for a new password.
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "a new password"])
def test_while_a_sender_waits(shell: Shell, chat: Emulator, own: RedisProcess, fault: str) -> None:
    """If Redis fails while a sender waits for its turn there, the sender prints one warning and posts."""
    running = waiting_sender(shell, chat, own)
    inflict, _ = FAULTS[fault]
    inflict(own)
    done = running.end()
    assert (done.status, texts(chat), done.err.count(ALONE)) == (0, ["hello"], 1)


def test_data_lost_while_a_sender_waits(shell: Shell, chat: Emulator, own: RedisProcess) -> None:
    """If Redis loses its data, a waiting sender posts without a warning."""
    running = waiting_sender(shell, chat, own)
    own.call("FLUSHALL")
    done = running.end()
    assert (done.status, "warning" in done.err, texts(chat)) == (0, False, ["hello"])


def test_a_machine_without_a_home(shell: Shell, redis: RedisProcess) -> None:
    """Redis paces the messages of a user without a home directory."""
    shell.env |= {"CHATPOST_REDIS_URL": redis.url, "HOME": "relative"}
    del shell.env["XDG_STATE_HOME"]
    done = shell("send", "hello")
    done.expect(0)
    assert done.err == ""
    assert len(queues(redis)) == 1


def test_a_cancelled_sender(shell: Shell, chat: Emulator, redis: RedisProcess) -> None:
    """A cancelled sender gives up its turn in Redis at once."""
    running = waiting_sender(shell, chat, redis)
    assert redis.call("KEYS", "chatpost:*:waiting")
    running.signal(signal.SIGTERM)
    status = running.end().status
    assert (status, redis.call("KEYS", "chatpost:*:waiting"), texts(chat)) == (-signal.SIGTERM, [], [])


def test_no_password_is_shown(chatpost: InProcess, own: RedisProcess) -> None:
    """No output contains the Redis password, on any failure."""
    change_password(own)
    for word in (ENCODED, f"{ENCODED}x"):
        for url in (
            f"unix://:{word}@{own.socket}",
            f"unix://:{word}@{own.socket}?health_check_interval=0",
            f"redis://:{word}@127.0.0.1:1",
            f"redis://{word}",
            f"http://{word}",
            f"redis+cluster://:{word}@127.0.0.1:1",
        ):
            chatpost.env |= {"CHATPOST_REDIS_URL": url, "CHATPOST_OUTBOX": "redis"}
            for argv in (["send", "-v", "x"], ["send", "--spool-only", "x"], ["outbox"], ["profiles", "check"]):
                done = chatpost(*argv)
                assert not [piece for piece in ("made-up", "password@", "password%40") if piece in done.out + done.err]


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://127.0.0.1:1",
        "redis+cluster://nohost.invalid",
        "redis+sentinel://127.0.0.1:1/main",
        "redis://127.0.0.1:1?max_connections=5",
        "rediss://127.0.0.1:1?ssl_ca_certs=",
        "redis://127.0.0.1:1?nonsense=1",
        "redis://127.0.0.1:1?socket_timeout=1&username=u&password=p&decode_responses=true",
    ],
)
def test_never_in_the_way_by_redis_py(shell: Shell, chat: Emulator, url: str) -> None:
    """If redis-py rejects a URL or cannot connect, chatpost prints one warning and posts the message anyway."""
    shell.env["CHATPOST_REDIS_URL"] = url
    done = shell("send", "hello")
    done.expect(0)
    assert texts(chat) == ["hello"]
    assert done.err.count(ALONE) == 1
    assert done.err.count("\n") == 1
    assert shell("profiles", "check").status in {75, 78}


@pytest.mark.parametrize(
    "answer",
    [
        b"+OK\r\n",
        b":1\r\n",
        b"*1\r\n" * 5000,
        b"$99999999999999999999\r\n",
        b"$999999999999999999\r\n",
        b":one\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"x" * 200_000,
    ],
    ids=lambda answer: answer[:6].decode().strip(),
)
def test_what_is_no_redis(shell: Shell, chat: Emulator, answer: bytes) -> None:
    """If a server does not speak Redis' protocol, chatpost prints one warning and posts. Spooling to it fails."""
    with raw_server(lambda connection: connection.sendall(answer)) as (port, _):
        shell.env |= {"CHATPOST_REDIS_URL": f"redis://127.0.0.1:{port}", "CHATPOST_OUTBOX": "redis"}
        done = shell("send", "hello")
        done.expect(0)
        assert texts(chat) == ["hello"]
        assert done.err.count(ALONE) == 1
        assert done.err.count("\n") == 1
        assert done.err.endswith(("it does not speak the Redis protocol\n", "the connection was closed\n"))
        done = shell("send", "--spool-only", "hello")
        done.expect(75)
        assert "stored in the outbox as" not in done.err


@pytest.mark.parametrize(
    "answer",
    [
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*2\r\n:1\r\n:0\r\n",
        b"*3\r\n:0\r\n:0\r\n:0\r\n",
        b"*3\r\n:1\r\n+nan\r\n+0\r\n",
        b"*3\r\n:1\r\n+0\r\n+nan\r\n",
        b"*3\r\n:1\r\n+0\r\n+inf\r\n",
        b"*3\r\n+inf\r\n+0\r\n+0\r\n",
        b"*3\r\n:1\r\n:-1\r\n:0\r\n",
        b"*3\r\n:1\r\n+61\r\n+61\r\n",
        b"*3\r\n:1\r\n+0\r\n+1e300\r\n",
        b"*3\r\n:1\r\n*0\r\n*0\r\n",
        b"-ERR odd\r\n",
    ],
)
def test_answers_that_make_no_sense(shell: Shell, chat: Emulator, answer: bytes) -> None:
    """If Redis returns invalid answers, chatpost prints one warning and posts the message anyway."""
    with answering_redis(answer) as shell.env["CHATPOST_REDIS_URL"]:
        done = shell("send", "hello")
        done.expect(0)
        assert texts(chat) == ["hello"]
        assert done.err.count(ALONE) == 1
        assert done.err.count("\n") == 1
        assert "it returned " in done.err
        done = shell("profiles", "check")
        assert done.status == (0 if answer == b"*0\r\n" else 75), done.err


def test_nothing_is_sent_late(own: RedisProcess) -> None:
    """A command that has timed out is not sent later, when Redis answers again."""
    threads = threading.active_count()
    stop(own)
    with pytest.raises(StorageError) as error:
        RedisClient(own.url, 30).call("SET", "late", 1, limit=0.1)
    own.signal(signal.SIGCONT)
    wait_for("the threads to end", lambda: threading.active_count() == threads)
    assert (error.value.maybe_done, own.call("EXISTS", "late")) == (False, 0)


def test_without_redis_py(shell: Shell, chat: Emulator) -> None:
    """Without the redis extra, chatpost posts with one warning that gives the installation command."""
    shell.env["CHATPOST_REDIS_URL"] = "redis://127.0.0.1:1"
    shell.env["PYTHONPATH"] = str(shell.home)
    (shell.home / "redis.py").write_text("raise ModuleNotFoundError")
    done = shell("send", "hello")
    done.expect(0)
    assert texts(chat) == ["hello"]
    assert done.err.count("\n") == 1
    assert done.err.endswith("redis-py is not installed: in a checkout, run pipx install --force '.[redis]'\n")
    assert shell("profiles", "check").status == 78


def test_no_command_after_a_rejected_password(shell: Shell, redis: RedisProcess) -> None:
    """If Redis rejects the database or password, chatpost runs no command in another database or as another user."""
    shell.env |= {"CHATPOST_REDIS_URL": redis.url, "CHATPOST_OUTBOX": "redis"}
    shell("send", "--spool-only", "so that the scripts are known")
    for url in (f"{redis.url}?db=99", f"unix://:useless@{redis.socket}"):
        shell.env["CHATPOST_REDIS_URL"] = url
        assert shell("send", "--spool-only", "hello").status == 75
    shell.env["CHATPOST_REDIS_URL"] = redis.url
    assert "hello" not in shell("outbox").out


def test_one_warning_for_all_profiles(shell: Shell, chat: Emulator) -> None:
    """For several profiles and the outbox, chatpost prints one warning about a faulty Redis."""
    shell.env |= {"CHATPOST_REDIS_URL": "redis://127.0.0.1:1", "CHATPOST_OUTBOX": "redis"}
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(name)}"\n' for name in "abc"))
    profiles = ("-p", "a", "-p", "b", "-p", "c")
    assert shell("send", *profiles, "hello").err.count("\n") == 1
    done = shell("send", "--spool", *profiles, "hello")
    done.expect(0, "posting without the outbox")
    assert done.err.count("\n") == 1


def test_a_program_that_prints_the_url(shell: Shell, redis: RedisProcess) -> None:
    """A command that prints the Redis URL runs once, and only if pacing or the outbox needs the URL."""
    count = shell.home / "count"
    setting = f'{{ command = ["sh", "-c", "echo x >> {count}; echo {redis.url}"] }}'
    shell.write_profiles(f'redis = {setting}\noutbox = "redis"\n[profiles.ops]\nurl = "{shell.env["CHATPOST_URL"]}"\n')
    assert shell("send", "--spool", "-p", "ops", "hello").status == 0
    assert count.read_text() == "x\n"
    assert shell("send", "--no-pacing", "-p", "ops", "hello").status == 0
    assert count.read_text() == "x\n"


def test_a_url_in_the_environment(shell: Shell, redis: RedisProcess) -> None:
    """The profile file's Redis also applies to CHATPOST_URL.

    If the file is broken, chatpost prints a warning and posts.
    """
    shell.write_profiles(f'redis = "{redis.url}"\noutbox = "redis"\n')
    assert shell("send", "--spool-only", "hello").status == 0
    assert "hello" in shell("outbox").out
    shell.config.write_text("redis = ")
    done = shell("send", "hello")
    done.expect(0, "chatpost: warning: ignoring redis in the profile file: ")


# profiles check ------------------------------------------------------------------------------------------------


def test_a_check(shell: Shell, redis: RedisProcess) -> None:
    """`profiles check` reports that Redis is usable, with its version, and warns if it may lose the outbox."""
    shell.write_profiles(f'redis = "{redis.url}"\n[profiles.ops]\nurl = "{shell.env["CHATPOST_URL"]}"\n')
    done = shell("profiles", "check")
    done.expect(0, f"chatpost: {redis.url}: ok, version ")
    shell.env["CHATPOST_OUTBOX"] = "redis"
    redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    done = shell("profiles", "check")
    redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    done.expect(0, ", holds the outbox\n")
    assert ("evicts messages when it is full" in done.err, "does not persist each message" in done.err) == (True, True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_of_a_redis_that_fails(shell: Shell, own: RedisProcess, fault: str) -> None:
    """`profiles check` names the fault of Redis, and exits with 75 if it may be temporary, or else with 78."""
    shell.env["CHATPOST_REDIS_URL"] = own.url
    assert shell("profiles", "check").status == 0
    inflict, said = FAULTS[fault]
    inflict(own)
    done = shell("profiles", "check")
    status = 78 if fault in {"a new password", "keys of others"} else 75
    done.expect(status, said.partition(" within")[0])


@pytest.mark.parametrize(
    ("profiles", "variables", "said"),
    [
        ("redis = 5", {}, "redis is not a string, { env"),
        ('outbox = "here"', {}, 'outbox is not "redis" or "local"'),
        ('outbox = "redis"', {}, "no Redis is configured: set CHATPOST_REDIS_URL"),
        ('redis = { env = "GONE" }', {}, "redis: the URL's variable GONE is not set"),
        ('redis = "redis://x:y"', {}, "redis: the Redis URL does not have the form redis://"),
        ("", {"CHATPOST_REDIS_URL": "nonsense"}, "CHATPOST_REDIS_URL: the Redis URL does not begin"),
        ("", {"CHATPOST_OUTBOX": "nonsense"}, "CHATPOST_OUTBOX must be redis or local"),
    ],
)
def test_mistakes_in_the_configuration(shell: Shell, profiles: str, variables: dict[str, str], said: str) -> None:
    """An error in the Redis configuration is described on stderr, and chatpost exits with 78."""
    shell.write_profiles(f'{profiles}\n[profiles.ops]\nurl = "{shell.env["CHATPOST_URL"]}"\n')
    shell.env |= variables
    done = shell(
        "outbox" if "OUTBOX" in said or "outbox" in profiles else "profiles",
        *([] if "utbox" in profiles or "OUTBOX" in said else ["check"]),
    )
    done.expect(78, said)


def test_a_mistake_does_not_keep_a_message(chatpost: InProcess, chat: Emulator) -> None:
    """If the Redis URL cannot be found, chatpost paces the message on this machine, and prints one warning."""
    del chatpost.env["CHATPOST_PACING"]
    chatpost.write_profiles(f'redis = {{ env = "GONE" }}\n[profiles.ops]\nurl = "{chatpost.env["CHATPOST_URL"]}"\n')
    done = chatpost("send", "-o", "none", "hello")
    assert done == (0, "", f"chatpost: warning: {ALONE}redis: the URL's variable GONE is not set\n")
    assert texts(chat) == ["hello"]


# The outbox ----------------------------------------------------------------------------------------------------


@pytest.fixture
def machines(tmp_path: Path, chat: Emulator, redis: RedisProcess) -> list[Shell]:
    """Return two machines whose outbox is in the same Redis."""
    shells: list[Shell] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shell = InProcess(tmp_path / name)
        shell.env |= {"CHATPOST_URL": chat.url(key=KEY, token=TOKEN), "CHATPOST_REDIS_URL": redis.url}
        shell.env["CHATPOST_OUTBOX"] = "redis"
        shells.append(shell)
    return shells


def test_any_machine_posts(machines: list[Shell], chat: Emulator) -> None:
    """One machine posts a message that another machine spooled."""
    one, two = machines
    assert one("send", "--spool-only", "hello").status == 0
    assert [json.loads(line)["id"] for line in two("outbox", "-o", "json").out.splitlines()] == [1]
    assert (two("outbox", "flush").status, texts(chat)) == (0, ["hello"])
    assert one("outbox").err == "chatpost: the outbox is empty\n"


def test_the_machines_own_outbox(machines: list[Shell], redis: RedisProcess) -> None:
    """Without `outbox = "redis"`, messages stay in the machine's outbox, even if a Redis is configured."""
    one, two = machines
    one.write_profiles(f'redis = "{redis.url}"\noutbox = "redis"\n')
    del one.env["CHATPOST_REDIS_URL"]
    one.env["CHATPOST_OUTBOX"] = "local"
    one("send", "--spool-only", "hello")
    assert (two("outbox").err, redis.call("KEYS", "chatpost:{outbox}:*")) == ("chatpost: the outbox is empty\n", [])


def test_a_named_file(machines: list[Shell], redis: RedisProcess) -> None:
    """`outbox --config FILE` uses the Redis that the file configures."""
    one, two = machines
    one("send", "--spool-only", "hello")
    for variable in ("CHATPOST_REDIS_URL", "CHATPOST_OUTBOX"):
        del two.env[variable]
    file = two.home / "shared.toml"
    file.write_text(f'redis = "{redis.url}"\noutbox = "redis"\n')
    file.chmod(0o600)
    assert two("outbox").err == "chatpost: the outbox is empty\n"
    assert "hello" in two("outbox", "--config", str(file)).out
    assert "hello" in two("outbox", "show", "1", "--config", str(file)).out
    assert two("outbox", "--config", str(file), "flush").status == 0
    assert "hello" not in two("outbox", "list", "--config", str(file)).out


def test_a_profile_in_another_place(machines: list[Shell], chat: Emulator) -> None:
    """A machine posts a message of a profile from another machine's named file, if its own file has that profile."""
    one, two = machines
    file = one.home / "named.toml"
    file.write_text(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    file.chmod(0o600)
    one("send", "--spool-only", "--config", str(file), "-p", "ops", "hello")
    file.unlink()
    two.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    assert (two("outbox", "flush").status, texts(chat)) == (0, ["hello"])


def arrival(chat: Emulator) -> threading.Event:
    """Return an event that is set when a request arrives."""
    come = threading.Event()
    chat.on_received = lambda _: come.set()
    return come


@contextmanager
def held(chat: Emulator, send: Callable[[], Running]) -> Iterator[Running]:
    """Start a process, and hold Chat's answer to its request until the end of the block."""
    come, go = threading.Event(), threading.Event()

    def hold(_: Received) -> None:
        come.set()
        go.wait(60)

    chat.on_received = hold
    try:
        running = send()
        assert come.wait(60)
        yield running
    finally:
        go.set()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_flusher_that_dies(machines: list[Shell], chat: Emulator, end: signal.Signals) -> None:
    """If a flusher is killed or stopped while it posts, another takes over within seconds, without duplicates."""
    one, two = machines
    for number in range(3):
        one("send", "--spool-only", f"message {number}")
    stored = arrival(chat)
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    dying = one.start("outbox", "flush")
    assert stored.wait(60)
    dying.signal(end)
    assert two("outbox", "flush").status == 0
    assert texts(chat) == [f"message {number}" for number in range(3)]
    dying.signal(signal.SIGTERM)
    dying.signal(signal.SIGCONT)
    dying.end()
    assert len(texts(chat)) == 3
    assert two("outbox").err == "chatpost: the outbox is empty\n"


def test_a_lease_is_renewed(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """While a flusher waits for a slow answer, no other flusher posts to the space."""
    one, two = machines
    one("send", "--spool-only", "hello")
    with held(chat, lambda: one.start("outbox", "flush")) as slow:
        (lease,) = redis.call("KEYS", "chatpost:{outbox}:lock:*")
        holder = redis.call("GET", lease.decode())
        two("outbox", "flush", "--deadline", "7")
        assert len(chat.received) == 1
        assert redis.call("GET", lease.decode()) == holder
    assert (slow.end().status, texts(chat), len(chat.received)) == (0, ["hello"], 1)


def test_hosts_in_a_digest(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """A digest combines the messages of all hosts, and names the host of each."""
    one, two = machines
    one("send", "--spool-only", "hello")
    two("send", "--spool-only", "hello")
    outbox = RedisOutbox(redis.client())
    space = outbox.index()[1].webhook.space
    outbox.change(space, [2], lambda found: [each._replace(origin=Origin("db-2", time.time())) for each in found])
    assert one("outbox", "flush", "--digest").status == 0
    (text,) = texts(chat)
    assert (text.count("hello"), "db-2" in text) == (2, True)


def test_spooling_while_redis_is_down(machines: list[Shell], chat: Emulator, own: RedisProcess) -> None:
    """If Redis is down, `--spool` posts with a warning, and `--spool-only` and a flush exit with 75."""
    one, _ = machines
    one.env["CHATPOST_REDIS_URL"] = own.url
    own.kill()
    done = one("send", "--spool", "hello")
    done.expect(0, "posting without the outbox")
    assert texts(chat) == ["hello"]
    done = one("send", "--spool-only", "hello")
    done.expect(75, f"the message was not stored in the outbox: {own.url} cannot be used")
    assert one("outbox", "flush").status == 75
    one.env["CHATPOST_REDIS_URL"] = "nonsense"
    done = one("send", "--spool-only", "hello")
    done.expect(78, "the message was not stored in the outbox: CHATPOST_REDIS_URL")


@contextmanager
def deaf(redis: RedisProcess) -> Iterator[str]:
    """Yield the URL of a Redis proxy that forwards a spooled message, then never returns the answer."""

    def serve(outer: socket.socket) -> None:
        with outer, socket.socket(socket.AF_UNIX) as inner, suppress(OSError):
            inner.connect(str(redis.socket))
            while request := outer.recv(1 << 20):
                inner.sendall(request)
                answer = inner.recv(1 << 20)
                if b"spooled" in request:
                    outer.recv(1)
                outer.sendall(answer)

    path = redis.socket.with_name("deaf")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"unix://{path}"
        listener.shutdown(socket.SHUT_RDWR)


def test_no_answer(machines: list[Shell], own: RedisProcess) -> None:
    """If Redis receives a message but does not answer, chatpost says that the message may already be in the outbox."""
    one, _ = machines
    with deaf(own) as one.env["CHATPOST_REDIS_URL"]:
        done = one("send", "--spool-only", "hello")
    done.expect(75, "the message may already be in the outbox")


def test_a_redis_that_is_stopped(machines: list[Shell], own: RedisProcess) -> None:
    """If Redis does not answer before it receives the message, chatpost says that the message is not in the outbox."""
    one, _ = machines
    one.env["CHATPOST_REDIS_URL"] = own.url
    stop(own)
    done = one("send", "--spool-only", "hello")
    own.signal(signal.SIGCONT)
    done.expect(75, "the message was not stored in the outbox")


def test_a_full_redis(machines: list[Shell], chat: Emulator, own: RedisProcess) -> None:
    """A full Redis rejects new messages, but flushes still post the spooled ones."""
    one, _ = machines
    one.env["CHATPOST_REDIS_URL"] = own.url
    assert one("send", "--spool-only", "hello").status == 0
    fill(own)
    done = one("send", "--spool-only", "more")
    done.expect(75, "the message was not stored in the outbox", "it is full")
    done = one("outbox", "flush")
    assert (done.status, texts(chat)) == (0, ["hello"])


def test_nothing_in_clear(machines: list[Shell], redis: RedisProcess) -> None:
    """Redis stores no space or thread key in a key name, and no part of a webhook's key or token. All keys expire."""
    one, _ = machines
    one("send", "--spool-only", "-k", "night", f"look at {one.env['CHATPOST_URL']}")
    keys = [key.decode() for key in redis.call("KEYS", "*")]
    assert keys
    assert all(key.startswith("chatpost:") and "AAAA" not in key and "night" not in key for key in keys)
    assert all(redis.call("TTL", key) > 0 for key in keys)
    hashes = [key for key in keys if redis.call("TYPE", key).decode() == "hash"]
    values = b" ".join(value for key in hashes for value in redis.call("HGETALL", key))
    assert b"look at" in values
    assert not [secret for secret in (KEY[:8], TOKEN[:8]) if secret.encode() in values]


def test_a_message_that_redis_has_thrown_away(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """If Redis evicts a message, the message is lost, and chatpost still posts the others."""
    one, _ = machines
    for number in range(3):
        one("send", "--spool-only", f"message {number}")
    redis.call("DEL", "chatpost:{outbox}:content:1")
    assert one("outbox", "flush").status == 0
    assert texts(chat) == ["message 1", "message 2"]
    assert one("outbox").err == "chatpost: the outbox is empty\n"
    assert redis.call("HMGET", "chatpost:{outbox}:totals", "count", "bytes") == [b"0", b"0"]


def test_ids_that_are_given_again(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """If Redis loses a sender's message and reuses its ID, the sender does not mistake the new message for its own."""
    one, two = machines
    come = arrival(chat)
    chat.faults.append(answering(429, Retry_After="4"))
    running = one.start("send", "--spool", "mine")
    assert come.wait(60)
    redis.call("FLUSHALL")
    two("send", "--spool-only", "other")
    running.end().expect(75, "no longer in the outbox")
    assert "mine" not in texts(chat)


def test_a_message_that_is_moved(machines: list[Shell], chat: Emulator) -> None:
    """A message that may have been posted keeps its request when it is moved, so it is posted only once."""
    one, _ = machines
    one.write_profiles(f'[profiles.same]\nurl = "{one.env["CHATPOST_URL"]}"\n')
    for text in ("one", "two"):
        one("send", "--spool-only", text)
    chat.faults.append(Fault(Kind.DROP_AFTER))
    assert one("outbox", "flush", "--digest", "--retries", "0").status == 75
    one("send", "--spool-only", "three")
    assert one("outbox", "retry", "1", "-p", "same").status == 0
    assert one("outbox", "flush", "--digest").status == 0
    posted = "".join(texts(chat))
    assert [posted.count(text) for text in ("one", "two", "three")] == [1, 1, 1]


def test_a_late_note_of_another_message(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """If Redis loses its data during an attempt, the answer does not apply to the next message with the same ID."""
    one, two = machines
    one("send", "--spool-only", "first")
    with held(chat, lambda: one.start("outbox", "flush")) as slow:
        redis.call("FLUSHALL")
        two("send", "--spool-only", "second")
    slow.end()
    two("outbox", "flush")
    assert texts(chat) == ["first", "second"]


def test_a_redis_that_dies_under_a_sender(machines: list[Shell], chat: Emulator, own: RedisProcess) -> None:
    """If Redis dies during an attempt, the sender still posts the message once and prints the message name."""
    one, _ = machines
    one.env["CHATPOST_REDIS_URL"] = own.url
    with held(chat, lambda: one.start("send", "--spool", "mine")) as running:
        own.kill()
    assert (running.end(), texts(chat)) == ((0, f"{chat.space().messages[0].name}\n", ""), ["mine"])


@pytest.mark.parametrize("how", ["flushed", "away"])
def test_a_long_text_whose_redis_dies(machines: list[Shell], chat: Emulator, own: RedisProcess, how: str) -> None:
    """If Redis loses a long text in the middle, the sender posts the rest, each part once, and counts all parts."""
    one, _ = machines
    one.env["CHATPOST_REDIS_URL"] = own.url
    text = "\n".join(f"line {number}" for number in range(8000))
    (one.home / "text").write_text(text)
    with (
        (one.home / "text").open() as stdin,
        held(chat, lambda: one.start("send", "--spool", "-o", "json", stdin=stdin)) as running,
    ):
        own.call("FLUSHALL") if how == "flushed" else own.kill()
    done = running.end().expect(0)
    assert ("\n".join(texts(chat)), json.loads(done.out)["parts"]) == (text, {"posted": 3, "of": 3})
    assert len(chat.received) == 3


def test_what_is_posted_is_said(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """A message that its sender posted counts as posted, even if Redis loses it during the attempt."""
    one, _ = machines
    with held(chat, lambda: one.start("send", "--spool", "X")) as running:
        redis.call("FLUSHALL")
    done = running.end()
    assert (done.status, done.out.strip()) == (0, chat.space().messages[0].name)


def test_moved_too_late(machines: list[Shell], chat: Emulator) -> None:
    """`outbox retry` and `outbox delete` report messages that have already been posted."""
    one, two = machines
    for command in (["outbox", "retry", "1"], ["outbox", "delete", "2"]):
        come = arrival(chat)
        chat.faults.append(
            Fault(Kind.DELAY, seconds=6)
        )  # the command below must start before, and waits for the outcome
        running = one.start("send", "--spool", "M")
        assert come.wait(60)
        done = two(*command)
        done.expect(0, "chatpost: 0 messages ", "; 1 had already been posted\n")
        assert running.end().status == 0


def test_a_late_answer(machines: list[Shell], chat: Emulator, own: RedisProcess) -> None:
    """If a sender posts a message itself that Redis has also stored, the message is posted once."""
    one, _ = machines
    one.env["CHATPOST_REDIS_URL"] = own.url
    one("send", "--spool", "so that the script is known")
    with deaf(own) as one.env["CHATPOST_REDIS_URL"]:
        assert one("send", "--spool", "deployed").status == 0
    one.env["CHATPOST_REDIS_URL"] = own.url
    one("send", "--spool-only", "another")
    assert "deployed" in one("outbox").out
    assert one("outbox", "flush", "--digest").status == 0
    assert "".join(texts(chat)).count("deployed") == 1


def test_a_digest_whose_head_is_thrown_away(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """If Redis evicts the content of a digest, chatpost posts its other messages, and does not reuse IDs."""
    one, _ = machines
    for number in range(3):
        one("send", "--spool-only", f"message {number}")
    chat.faults.append(answering(503))
    one("outbox", "flush", "--digest", "--retries", "0")
    redis.call("DEL", "chatpost:{outbox}:content:1", "chatpost:{outbox}:totals")
    one("outbox", "flush", "-v").expect(0, "2 posted, 0 pending")
    assert texts(chat) == ["message 1", "message 2"]
    for number in range(2):
        one("send", "--spool-only", f"later {number}")
    redis.call("DEL", "chatpost:{outbox}:totals")
    one("send", "--spool-only", "later 2")
    assert one("outbox", "flush").status == 0
    assert texts(chat)[2:] == ["later 0", "later 1", "later 2"]


def test_connections_that_redis_closes(machines: list[Shell], chat: Emulator, redis: RedisProcess) -> None:
    """If Redis closes a connection while chatpost waits for Chat, chatpost reconnects without a warning."""
    one, _ = machines
    one("send", "--spool-only", "hello")
    with held(chat, lambda: one.start("outbox", "flush")) as slow:
        redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    done = slow.end()
    assert (done.status, "cannot be used" in done.err) == (0, False)
    assert one("outbox").err == "chatpost: the outbox is empty\n"


def test_a_path_that_is_not_utf8(machines: list[Shell], chat: Emulator) -> None:
    """The path of a profile file may contain bytes that are not UTF-8, with either outbox.

    The Redis stores no path, so a flush there names the file.
    """
    one, _ = machines
    file = os.fsencode(one.home) + b"/pro\xfffiles.toml"
    with open(file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as profiles:
        profiles.write(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    for where in ("redis", "local"):
        one.env["CHATPOST_OUTBOX"] = where
        one("send", "--spool-only", "-p", "ops", "--config", os.fsdecode(file), where).expect(0)
        one("outbox", "flush", *(["--config", os.fsdecode(file)] if where == "redis" else [])).expect(0)
    assert texts(chat) == ["redis", "local"]


# Watching ------------------------------------------------------------------------------------------------------


@pytest.fixture
def watching() -> Iterator[Watch]:
    """Return a function that starts `outbox flush --watch` on a machine."""
    started: list[Running] = []

    def watch(shell: Shell, *argv: str) -> Running:
        started.append(shell.start("outbox", "flush", "--watch", *argv))
        return started[-1]

    yield watch
    for running in started:
        running.signal(signal.SIGKILL)
        if running.process.stdout is not None and not running.process.stdout.closed:
            running.end()


@pytest.mark.parametrize("where", ["redis", "local"])
def test_watch(machines: list[Shell], chat: Emulator, watching: Watch, where: str) -> None:
    """`outbox flush --watch` posts pending messages and new ones as they arrive, until a signal ends it."""
    one, two = machines
    two = two if where == "redis" else one
    one.env["CHATPOST_OUTBOX"] = where
    one("send", "--spool-only", "before")
    watcher = watching(two)
    wait_for("the messages in the space", lambda: texts(chat) == ["before"])
    one("send", "--spool-only", "after")
    wait_for("the messages in the space", lambda: texts(chat) == ["before", "after"])
    watcher.signal(signal.SIGTERM)
    done = watcher.end().expect(-signal.SIGTERM)
    assert done.err.splitlines() == [
        "chatpost: watching the outbox; posting messages as they arrive",
        "chatpost: interrupted: unposted messages stay in the outbox",
    ]


def test_watch_through_faults(machines: list[Shell], chat: Emulator, own: RedisProcess, watching: Watch) -> None:
    """The watcher keeps running while Redis or Chat is down, reports each failure once, and then resumes."""
    one, two = machines
    for shell in machines:
        shell.env["CHATPOST_REDIS_URL"] = own.url
    own.kill()
    watcher = watching(two, "--retries", "0")
    watcher.wait_to_say("cannot be used")
    own.start()
    chat.faults.extend([answering(503)] * 2)
    one("send", "--spool-only", "hello")
    wait_for("the messages in the space", lambda: texts(chat) == ["hello"])
    watcher.signal(signal.SIGTERM)
    said = watcher.end().err
    assert (said.count("watching"), said.count("cannot be used"), said.count("Chat returned 503")) == (1, 1, 1)


def test_watch_leaves_no_space_behind(machines: list[Shell], chat: Emulator, watching: Watch) -> None:
    """Messages of a deleted webhook do not block other spaces."""
    one, two = machines
    gone = chat.url("GONE")
    one.env["CHATPOST_URL"], good = gone, one.env["CHATPOST_URL"]
    one("send", "--spool-only", "never")
    watching(two)
    one.env["CHATPOST_URL"] = good
    one("send", "--spool-only", "hello")
    wait_for("the messages in the space", lambda: texts(chat) == ["hello"])


def test_two_watchers(machines: list[Shell], chat: Emulator, watching: Watch) -> None:
    """Two watchers post each message once. If one is killed, the other continues."""
    one, two = machines
    first, _ = watching(one, "--digest"), watching(two, "--digest")
    for number in range(12):
        one("send", "--spool-only", f"message {number:02}")
        if number == 5:
            first.signal(signal.SIGKILL)
    wait_for("the messages in the space", lambda: "message 11" in "".join(texts(chat)))
    posted = "\n".join(texts(chat))
    assert [posted.count(f"message {number:02}") for number in range(12)] == [1] * 12
