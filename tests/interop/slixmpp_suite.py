"""Runs tests of slixmpp's own integration suite, in a process of its own: one line of JSON a test.

    python slixmpp_suite.py FOLDER HOST ADDRESS [TEST...]

FOLDER is slixmpp's source package, in which `itests` lies; HOST, the domain of the accounts, is
found at ADDRESS (the suite insists on ports 5222 and 5223). Without names it lists all tests. What
the tests take from the environment (CI_ACCOUNT1 ...) they get."""

import json
import pathlib
import socket
import sys
import time
import traceback
import unittest
from importlib import import_module

folder, host, address, *wanted = sys.argv[1:]
sys.path.append(folder)  # the library itself is the installed one

import slixmpp.xmlstream.resolver  # noqa: E402

# No name server knows the host: the system is asked for it, and told here what to answer.
slixmpp.xmlstream.resolver.AIODNS_AVAILABLE = False
resolved = socket.getaddrinfo


def look_up(name, port, family=0, kind=0, *rest, **more):
    if name in (host, host.encode()) and family == socket.AF_INET6:
        raise socket.gaierror(socket.EAI_NONAME, "it has no such address")
    return resolved(address if name in (host, host.encode()) else name, port, family, kind, *rest,
                    **more)


socket.getaddrinfo = look_up


def short(test):
    """module.test: what is unique, without what is the same for all."""
    module, _, name = test.id().removeprefix("itests.test_").split(".")
    return f"{module}.{name.removeprefix('test_')}"


def every(suite):
    for part in suite:
        yield from every(part) if isinstance(part, unittest.TestSuite) else [part]


class Telling(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.started, self.outcome, self.why = time.monotonic(), "passed", ""

    def note(self, outcome, why):
        self.outcome, self.why = outcome, why

    def addError(self, test, error):
        frames = traceback.extract_tb(error[2])
        lines = [frame.lineno for frame in frames if "itests" in frame.filename]
        self.note("failed", f"{error[0].__name__}: {error[1]}, lines {lines}")

    addFailure = addError

    def addSkip(self, test, reason):
        self.note("skipped", reason)

    def stopTest(self, test):
        super().stopTest(test)
        took = time.monotonic() - self.started
        print(json.dumps({"test": short(test), "outcome": self.outcome, "why": self.why,
                          "took": took}), flush=True)


files = sorted(pathlib.Path(folder, "itests").glob("test_*.py"))
tests = [test for file in files for test in every(import_module(f"itests.{file.stem}").suite)]
if not wanted:
    print(json.dumps([short(test) for test in tests]))
unittest.TestSuite(test for test in tests if short(test) in wanted).run(Telling())
