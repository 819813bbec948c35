"""A space's queue: its arithmetic, without a clock or a file, and a sender's place in it.

A space accepts one request per second from all its webhooks. So each sender joins the space's queue and polls until its
turn has come. The first sender in the queue passes the gate when it is open. The gate then stays closed until the
request has gone out, and for an interval after that.

Each poll renews the sender's place for a few seconds. A sender that gives up leaves the queue; a killed sender stops
polling, so its place expires, and no sender waits for it. The order is first come, first served: a sender that returns
has its old ticket.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect
from itertools import chain
from math import isfinite
from typing import NamedTuple

from chatpost.delivery.model import Place
from chatpost.errors import SpaceBusy

# All in seconds.
SLACK = 0.05  # the gate opens this early before the interval ends: the next request needs time to go out
LONGEST_CLOSURE = 3600.0  # maximum time for which one answer of a server closes a space
SHORT_SLEEP = 2.0  # maximum between two polls near the turn: the queue may have become shorter
LONGEST_SLEEP = 60.0  # maximum between two polls; far from its turn, a sender sleeps a tenth of its wait
SHORTEST_SLEEP = 0.5  # between two polls while the time of the turn is unknown
LEASE = 3.0  # a place expires when the next poll, or the request, is this late

CONSTANTS = (SLACK, LONGEST_CLOSURE, SHORT_SLEEP, LONGEST_SLEEP, SHORTEST_SLEEP, LEASE)
"""The constants that queue.lua takes."""

NOW = Place(0.0, 0.0)


def hash_space(space: str) -> str:
    """Return the name of a space's queue, which does not reveal the space."""
    return hashlib.sha256(space.encode()).hexdigest()[:32]


class Waiter(NamedTuple):
    """A place in the queue; ``until`` is the time at which it expires."""

    ticket: int
    interval: float
    until: float


class Queue(NamedTuple):
    """A space's queue. All times are seconds of one clock.

    ``sent_at`` is when a request last went out, ``closed_until`` the end of a pause that the server requested.
    ``sender`` is the ticket of a sender that has passed the gate and not sent its request yet; the others wait for it
    until ``sender_until``. If it gives up its turn, ``sent_before`` becomes the time of the last request again.
    ``tickets`` is the last ticket issued. ``waiting`` is in the order of the tickets.
    """

    sent_at: float = -1e9
    closed_until: float = 0.0
    sender: int = 0
    sender_until: float = 0.0
    tickets: int = 0
    waiting: tuple[Waiter, ...] = ()
    sent_before: float = -1e9

    @classmethod
    def parse(cls, text: str) -> Queue:
        """Parse a queue from JSON; return an empty queue if it is invalid."""
        try:
            sent_at, closed_until, sender, sender_until, tickets, waiting, sent_before = json.loads(text)
            waiters = tuple(Waiter(int(ticket), float(interval), float(until)) for ticket, interval, until in waiting)
            times = float(sent_at), float(closed_until), float(sender_until), float(sent_before)
            queue = cls(*times[:2], int(sender), times[2], int(tickets), waiters, times[3])
            return queue if all(map(isfinite, chain(times, *waiters))) else cls()
        except (ValueError, TypeError, RecursionError, OverflowError):
            return cls()

    def at(self, now: float) -> Queue:
        """Return the queue with times limited to those that this clock can have written: it may have been set back."""
        waiting = (waiter._replace(until=min(waiter.until, now + LONGEST_SLEEP + LEASE)) for waiter in self.waiting)
        return self._replace(
            sent_at=min(self.sent_at, now),
            sent_before=min(self.sent_before, now),
            closed_until=min(self.closed_until, now + LONGEST_CLOSURE),
            sender_until=min(self.sender_until, now + LONGEST_SLEEP + LEASE),
            waiting=tuple(waiting),
        )

    def step(self, name: str, now: float, ticket: int, interval: float, seconds: float) -> tuple[Queue, int, Place]:
        """Take one of the steps of a `chatpost.delivery.model.Turn`; return the ticket, and the place after ``poll``.

        A sender that polls with ticket 0 gets a new one. If its turn has come, it leaves the queue, and the gate
        closes. If its turn is more than ``seconds`` away, it loses its place.
        """
        if name != "poll":
            return self._change(name, now, ticket, seconds), ticket, NOW
        ticket = ticket or self.tickets + 1
        tickets = max(self.tickets, ticket)  # never reissue a ticket from before the queue was lost
        others = [waiter for waiter in self.waiting if waiter.until > now and waiter.ticket != ticket]
        ahead = bisect(others, (ticket,))
        intervals = [waiter.interval for waiter in others[:ahead]] + [interval]
        opens = max(self.closed_until, self.sent_at + intervals[0] - SLACK)
        turn_in = max(0.0, opens - now) + sum(intervals[1:])
        is_sending = self.sender not in {0, ticket} and self.sender_until > now
        if not turn_in and not is_sending:
            passed = Queue(now, self.closed_until, ticket, now + LEASE, tickets, tuple(others), self.sent_at)
            return passed, ticket, NOW
        sleep = min(turn_in, max(SHORT_SLEEP, min(turn_in / 10, LONGEST_SLEEP))) or SHORTEST_SLEEP
        place = Place(sleep, max(sleep, turn_in))
        others.insert(ahead, Waiter(ticket, interval, now + place.sleep + LEASE))
        queue = self._replace(tickets=tickets, waiting=tuple(others))
        return queue.leave(ticket) if place.wait > seconds else queue, ticket, place

    def _change(self, name: str, now: float, ticket: int, seconds: float) -> Queue:
        is_sender = self.sender == ticket
        match name:
            case "extend" if is_sender:
                return self._replace(sent_at=now, sender_until=now + seconds + LEASE)
            case "sent" if is_sender:  # the interval starts now
                return self._replace(sent_at=now, sender=0)
            case "sent":  # late: another sender has passed the gate, and may give up its turn
                return self._replace(sent_at=now, sent_before=now)
            case "leave":
                return self.leave(ticket)
            case "close_for":
                return self._replace(closed_until=max(self.closed_until, now + min(seconds, LONGEST_CLOSURE)))
        return self

    def leave(self, ticket: int) -> Queue:
        """Give up a place, or an unused turn, which the next sender can then take."""
        left = self._replace(waiting=tuple(waiter for waiter in self.waiting if waiter.ticket != ticket))
        return left._replace(sender=0, sent_at=self.sent_before) if self.sender == ticket else left


class QueuePacer:
    """A `chatpost.delivery.model.Pacer`; subclasses store the queues. ``holders`` are the turns that have a place."""

    def __init__(self) -> None:
        self.holders: set[QueueTurn] = set()

    def turn(self, space: str, interval: float) -> QueueTurn:
        return QueueTurn(self, hash_space(space), interval)

    def leave(self) -> None:
        for turn in list(self.holders):
            turn.leave()

    def step(self, turn: QueueTurn, name: str, seconds: float = 0.0) -> Place:
        """Take a step of `Queue.step`; return `NOW` if the queue cannot be used."""
        raise NotImplementedError


class QueueTurn:
    """A `chatpost.delivery.model.Turn`. ``space`` is the space's hash; ``ticket`` is 0 before the first poll."""

    def __init__(self, pacer: QueuePacer, space: str, interval: float) -> None:
        self._pacer = pacer
        self.space = space
        self.interval = interval
        self.ticket = 0

    def poll(self, within: float) -> Place:
        self._pacer.holders.add(self)  # first: a signal may arrive during the step
        place = self._pacer.step(self, "poll", within)
        if place.wait > within:
            self._pacer.holders.discard(self)
            raise SpaceBusy(place.wait)
        return place

    def extend(self, seconds: float) -> None:
        """Hold the current turn for this time."""
        self._pacer.step(self, "extend", seconds)

    def sent(self) -> None:
        self._pacer.holders.discard(self)
        self._pacer.step(self, "sent")

    def close_for(self, seconds: float | None) -> None:
        self._pacer.step(self, "close_for", seconds or self.interval)

    def leave(self) -> None:
        if self in self._pacer.holders:
            self._pacer.holders.discard(self)
            self._pacer.step(self, "leave")
