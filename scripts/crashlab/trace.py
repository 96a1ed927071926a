"""Reads what strace wrote: which bytes went to the journal and to sockets, and when the syncs
between them had returned. A line stands where its call returned, which for a sync is what counts;
a write counts from where it began."""

import re

LINE = re.compile(r"^(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)$", re.S)
RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$", re.S)
FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
READS = ("recvfrom", "recvmsg", "read", "readv")
WRITES = ("write", "writev", "sendto", "sendmsg")


class Call:
    """One call: where it began and returned (line numbers), on what, with what."""

    def __init__(self, name, began, text):
        self.name, self.began, self.returned, self.text = name, began, None, text
        found = FILE.match(text)
        self.path = found["path"] if found else ""

    @property
    def failed(self):
        return re.search(r"= -1 E\w+", self.text[-200:]) is not None


class Trace:
    """All calls of a server, in the order in which they began."""

    def __init__(self, path):
        self.calls = []
        open_calls = {}
        with open(path, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines):
                line = unescaped(line)
                if found := RESUMED.match(line):
                    call = open_calls.pop((found["pid"], found["call"]), None)
                    if call:
                        call.text += found["rest"]
                        call.returned = number
                elif found := LINE.match(line):
                    rest = found["rest"]
                    call = Call(found["call"], number, rest)
                    self.calls.append(call)
                    if rest.rstrip().endswith("<unfinished ...>"):
                        open_calls[found["pid"], found["call"]] = call
                    else:
                        call.returned = number

    def journal(self, name):
        return [it for it in self.calls if it.name == name and it.path.endswith(".log")
                and "/journal/" in it.path]

    def verdict(self, kind, sent, marker, answer):
        """Whether the commit with `marker` was appended and synced between the reading of `sent`
        and the first writing of `answer` after it."""
        sent = unescaped(sent)
        read = next((it for it in self.calls if it.name in READS and sent[-4000:][:200] in it.text
                     or it.name in READS and sent[:200] in it.text), None)
        if read is None:
            return False, f"{kind}: not seen on its way in"
        answered = next((it for it in self.calls if it.name in WRITES and it.path == read.path
                         and it.began > read.began and answer(it.text)), None)
        if answered is None:
            return False, f"{kind}: no answer seen"
        appended = [it for it in self.journal("pwrite64") if it.began > read.began
                    and marker in it.text]
        if not appended:
            return False, f"{kind}: never appended to the journal"
        first = appended[0]
        # Where several commits hold it, the last before the answer counts too.
        last = [it for it in appended if it.began < answered.began][-1:] or [first]
        for append in (first, last[0]):
            synced = next((it for it in self.journal("fdatasync") if it.path == append.path
                           and it.began > append.began and not it.failed), None)
            if append.began > answered.began:
                return False, f"{kind}: answered before it was appended"
            if synced is None:
                return False, f"{kind}: appended and never synced"
            if synced.returned is None or synced.returned > answered.began:
                return False, f"{kind}: answered before fdatasync returned"
        return True, f"{kind}: appended, synced, then answered"

    def segments(self):
        """Of a new segment, header and folder are synced before its first frame."""
        begun = [it for it in self.calls if it.name == "openat" and "O_CREAT" in it.text
                 and "/journal/" in it.text and ".log" in it.text]
        if len(begun) < 2:
            return False, f"new segment: {len(begun)} begun, too few to see"
        for call in begun:
            path = re.search(r'"([^"]*\.log)"', call.text)[1]
            writes = [it for it in self.calls if it.name == "pwrite64" and it.path == path
                      and it.began > call.began]
            folder = path.rsplit("/", 1)[0]
            synced = [it for it in self.calls if it.name in ("fsync", "fdatasync")
                      and it.path in (path, folder) and it.began > call.began]
            before = [it for it in synced if len(writes) < 2 or it.began < writes[1].began]
            if path not in [it.path for it in before]:
                return False, "new segment: its header is not synced before its first frame"
            if folder not in [it.path for it in before]:
                return False, "new segment: its folder is not synced before its first frame"
        return True, f"new segment: header and folder synced before its first frame, {len(begun)} seen"


def answer_with(position):
    """Whether a written text holds an `<a/>` that covers this number."""
    def covers(text):
        found = re.findall(r"<a xmlns='urn:xmpp:sm:3' h='(\d+)'", text)
        return any(int(h) >= position for h in found)
    return covers


def answer_to(number):
    """Whether a written text holds the answer to this IQ."""
    return re.compile(rf"<iq[^>]* id='{number}'").search


def unescaped(text):
    return text.replace('\\"', '"').replace("\\n", "\n")
