"""What the driver knows: which operations it began, which were acknowledged, what it saw.

A subject (one account's roster, block list, node, private XML, vCard, password) is a list of
operations after a state that was seen. After a crash it must be the state that some prefix of them
makes, one that holds at least every acknowledged one (I6)."""

import json
import time
from dataclasses import dataclass, field

from .archive import Archive


class History:
    """Every invoke, ok, fail and info, in Jepsen's sense, in a file outside the data folder."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.serial = 0

    def note(self, kind, **what):
        self.serial += 1
        self.file.write(json.dumps({"n": self.serial, "type": kind, **what}) + "\n")

    def flush(self):
        self.file.flush()


@dataclass
class Operation:
    """`apply` answers the next state; `done` is True once acknowledged, None if refused."""

    name: str
    apply: object
    done: bool | None = False


@dataclass
class Subject:
    """A state and what may have come to it since it was seen."""

    name: str
    state: object
    operations: list = field(default_factory=list)

    def begin(self, name, apply):
        operation = Operation(name, apply)
        self.operations.append(operation)
        return operation

    def check(self, seen):
        """A complaint, or None; then `seen` is the state to go on from."""
        operations = [it for it in self.operations if it.done is not None]
        due = max((n + 1 for n, it in enumerate(operations) if it.done), default=0)
        state, complaint = self.state, None
        fits = due == 0 and state == seen
        last = None
        for number, operation in enumerate(operations, 1):
            state = operation.apply(state)
            fits = fits or (number >= due and state == seen)
            if number == due:
                last = state
        if not fits:
            names = [f"{it.name}{'' if it.done else '?'}" for it in operations]
            complaint = (f"I6 {self.name}: {shown(seen)} is no prefix of {names[-8:]} "
                         f"(acknowledged up to {due} of {len(operations)}: {shown(last)})")
        self.state, self.operations = seen, []
        return complaint


def shown(state):
    text = repr(state)
    return text if len(text) < 400 else text[:400] + "…"


@dataclass
class Message:
    """One chat message, by its unique id."""

    mid: str
    number: int
    sender: object
    recipient: object
    sha: str
    life: int
    place: int
    # the resource that sent it, on which of its lines
    by: str
    stretch: int
    sent_at: float = field(default_factory=time.monotonic)
    acked: bool = False
    refused: bool = False
    # the life in which it was sent first: of what is sent again nobody knows whether that counted
    began: int = -1
    # looked for at its recipient, and in both archives
    settled: bool = False
    filed: bool = False
    # whether it must not come after a later one of the same sender
    ordered: bool = True
    # (life, stream number) of each delivery
    seen: list = field(default_factory=list)
    # the numbers of the sender's other streams that had a copy of it
    copied: set = field(default_factory=set)
    # when, and in which life, we acknowledged a delivery of it (XEP-0198)
    answered: tuple | None = None

    def __post_init__(self):
        self.began = self.life

    @property
    def line(self):
        """Within which order is kept."""
        return self.sender.jid, self.by, self.stretch


@dataclass
class Pair:
    """One asker and one asked (RFC 6121 §3.1): what the last operation made of them."""

    asker: object
    asked: object
    state: str = "none"
    doing: str | None = None
    acked: bool = False
    resent: bool = False
    # what was said so far, for complaints
    done: list = field(default_factory=list)

    AFTER = {"subscribe": "asked", "subscribed": "to", "unsubscribe": "none",
             "unsubscribed": "none"}

    def begin(self, what):
        self.doing, self.acked = what, False

    def possible(self):
        after = Pair.AFTER.get(self.doing)
        if after is None:
            return {self.state}
        return {after} if self.acked else {self.state, after}


@dataclass(eq=False)
class Account:
    """An account of the harness and the role it plays."""

    name: str
    domain: str
    role: str
    passwords: Subject = None
    clients: dict = field(default_factory=dict)
    # resource -> the client whose line broke, if its session can be resumed
    asleep: dict = field(default_factory=dict)
    sent: int = 0
    # how often its line broke while the server lived
    stretch: int = 0
    # the last life in which a stream without acknowledgements was up; one has none yet
    plain_life: int = -1
    enabling: bool = False
    # roster version -> what the roster was
    version: tuple | None = None
    requests: set = field(default_factory=set)
    # askers who were answered, or asked no more, perhaps before their request was read
    answered: set = field(default_factory=set)
    # askers who were answered, and whose request came once more
    again: set = field(default_factory=set)
    # sender -> number of the last message seen for the first time
    newest: dict = field(default_factory=dict)
    # domain -> whether it is subscribed to the node of that one's service
    joined: dict = field(default_factory=dict)
    # what it was told after the last crash
    news: set = field(default_factory=set)
    has_board: bool = False

    def __post_init__(self):
        self.passwords = Subject(f"{self.jid} password", "secret-0")
        self.roster = Subject(f"{self.jid} roster", {})
        self.blocked = Subject(f"{self.jid} block list", frozenset())
        self.private = {key: Subject(f"{self.jid} private {key}", None) for key in "xyz"}
        self.vcard = Subject(f"{self.jid} vCard", None)
        self.notes = Subject(f"{self.jid} notes", {})
        self.bookmarks = Subject(f"{self.jid} bookmarks", {})
        self.posts = Subject(f"{self.jid} posts", {})
        self.title = Subject(f"{self.jid} title of the node", None)
        self.staff = Subject(f"{self.jid} affiliations of the node", {})
        self.archive = Archive()

    @property
    def jid(self):
        return f"{self.name}@{self.domain}"

    @property
    def is_managed_only(self):
        return self.role in ("sm", "flap")
