"""Login with user and password: parses `--auth`, checks Authorization headers for the page and the API alike, and slows guesses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

GUESS_DELAY = 1.0  # seconds that a wrong login costs its address; grows by as much with every `GUESSES_PER_STEP` of them
GUESSES_PER_STEP = 8
MAX_GUESS_DELAY = 10.0
GUESS_MEMORY = 900.0  # seconds after which the wrong logins of an address are forgotten
MAX_WAITING_GUESSES = 16  # of one address; further logins are refused unchecked
MAX_WAITING_TOTAL = 64  # of all addresses that have guessed wrong before: each holds a connection
MAX_ADDRESSES = 4096  # that are remembered
IPV6_PREFIX = 64  # bits: one subscriber has all addresses below them


@dataclass(frozen=True)
class Login:
    """User and password."""

    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> Login:
        """Parses "user:password". Raises ValueError if one of them is missing."""
        user, colon, password = text.partition(":")
        if not colon or not user or not password:
            raise ValueError(f"--auth {user!r} has no user or no password; give user:password.")
        return cls(user, password)

    def admits(self, header: str) -> bool:
        """Whether an Authorization header, decoded as latin-1 as servers do, has this login: Basic, as browsers send it, or
        Bearer "user:password", as API clients send their key."""
        return hmac.compare_digest(_digest(f"{self.user}:{self.password}".encode()), _digest(_credentials(header)))


def _credentials(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")
    try:
        return base64.b64decode(value.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""


def _digest(secret: bytes) -> bytes:
    """Digest of fixed length, so that the comparison's time does not reveal the secret's length."""
    return hashlib.sha256(secret).digest()


class TooManyGuesses(Exception):
    """More logins of one address wait for their check than are allowed. retry_after: seconds until the next is taken."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many wrong logins came from your address; try again in {retry_after} seconds.")
        self.retry_after = retry_after


@dataclass
class _Guesses:
    """Wrong logins of one address. paid: clock time at which their delays are over; waiting: logins not yet checked or answered."""

    paid: float = 0.0
    failures: int = 0
    waiting: int = 0


class GuessLimiter:
    """Slows down guesses of the login by making the wrong ones of one address wait for one another; other addresses do not wait.

    Each wrong login adds its delay to the time that its address owes, whether or not its client waits for the answer. While
    an address owes more than one delay, its logins are not checked, so that guesses sent at once are no faster. The next
    right login passes a single wrong one. Not thread-safe: used in the server's event loop. clock: monotonic seconds.
    """

    def __init__(self, delay: float = GUESS_DELAY, clock: Callable[[], float] = time.monotonic) -> None:
        self._delay, self._clock = delay, clock
        self._addresses: OrderedDict[str, _Guesses] = OrderedDict()  # least recently used first
        self._waiting = 0

    @contextmanager
    def attempt(self, address: str) -> Iterator[GuessAttempt]:
        """One login of an address, for as long as it waits. Raises `TooManyGuesses`."""
        guesses = self._guesses_of(subscriber(address))
        owed = guesses.paid - self._clock()
        if guesses.waiting >= MAX_WAITING_GUESSES or self._waiting >= MAX_WAITING_TOTAL and owed > 0:
            raise TooManyGuesses(max(1, math.ceil(owed)))
        guesses.waiting += 1
        self._waiting += 1
        try:
            yield GuessAttempt(guesses, self._delay, self._clock)
        finally:
            guesses.waiting -= 1
            self._waiting -= 1

    def _guesses_of(self, address: str) -> _Guesses:
        now = self._clock()
        guesses = self._addresses.setdefault(address, _Guesses())
        self._addresses.move_to_end(address)
        if not guesses.waiting and now - guesses.paid > GUESS_MEMORY:
            guesses.failures = 0
        while len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        return guesses


@dataclass(frozen=True)
class GuessAttempt:
    """A login that is being made; see `GuessLimiter`."""

    _guesses: _Guesses
    _delay: float
    _clock: Callable[[], float]

    def seconds_to_check(self) -> float:
        """Seconds until it may be checked, 0 for now; ask again after them, for another may have been checked first."""
        return max(0.0, self._guesses.paid - self._clock() - self._delay)

    def failed(self) -> float:
        """Counts it as a wrong login; returns the seconds until it may be answered."""
        self._guesses.failures += 1
        steps = 1 + (self._guesses.failures - 1) // GUESSES_PER_STEP
        now = self._clock()
        self._guesses.paid = max(now, self._guesses.paid) + min(self._delay * steps, MAX_GUESS_DELAY)
        return self._guesses.paid - now


def subscriber(address: str) -> str:
    """The IP address, or for IPv6 the network that one subscriber has; other texts as they are."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
