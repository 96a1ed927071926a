"""Drives the running server with clients that nobody here wrote: one line a check.

    python tests/interop PROGRAM [--tokio CLIENT] [--nbxmpp PYTHON]
                                 [--go CLIENT] [--xmppjs SCRIPT]
                                 [--suite FOLDER] [--only CLIENT,...]
    python tests/interop PROGRAM [--prosody PROSODY] [--ejabberd ERL]    only with these servers
    python tests/interop PROGRAM --components [--biboumi PROGRAM --ngircd PROGRAM]"""

import argparse
import asyncio
import logging
import sys

import federation
import story
import with_component
import with_go
import with_nbxmpp
import with_slixmpp_board
import with_slixmpp_suite
import with_xmppjs
from score import Score
from server import Server
from with_aioxmpp import Aioxmpp
from with_ejabberd import Ejabberd
from with_prosody import Prosody
from with_slixmpp import Slixmpp, SlixmppTls12
from with_tokio import Tokio


async def perform(server, score, kinds):
    for kind in kinds:
        cast = await story.Cast(server, kind).assemble()
        for name, when, function in story.CHECKS:
            if when(kind):
                await score.run(f"{kind.library}: {name}", function(cast))
    if Slixmpp in kinds:
        old = SlixmppTls12(server, await server.account("old-tls"))
        await score.run("slixmpp: logs in by SCRAM over TLS 1.2", story.logged_in(old, "direct"))
        await score.run("slixmpp: a node, its items and its people at the publish-subscribe service",
                        with_slixmpp_board.shared(server))
    for one, other in zip(kinds, kinds[1:] + kinds[:1]):
        if one is not other:
            name = f"{one.library} and {other.library}: contacts, chat, offline"
            await score.run(name, story.strangers(server, one, other))


async def gophers(server, score):
    async def other(name):
        return Slixmpp(server, await server.account(name))

    for tls, spelled in (("starttls", "STARTTLS"), ("direct", "direct TLS")):
        listener = await other(f"hears-{tls}")
        await score.run(f"go-sendxmpp: sends over {spelled}, by PLAIN",
                        with_go.sends(server, listener, tls))
    await score.run("go-sendxmpp: listens, also for what waited",
                    with_go.listens(server, await other("speaks")))


async def installation(server, score):
    one = with_xmppjs.Installation(server, await server.account("alice-xmppjs"))
    await score.run("xmpp.js: logs in by SASL2 and Bind 2, gets a token, resumes by it",
                    with_xmppjs.by_password(one))
    await score.run("xmpp.js: comes back by FAST", with_xmppjs.by_token(one))
    await score.run("xmpp.js: comes back by FAST after a crash", with_xmppjs.after_a_crash(one))
    await score.run("xmpp.js: is sent away, and needs the password", with_xmppjs.revoked(one))


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--tokio", help="the built tests/foreign-client")
    parser.add_argument("--go", help="go-sendxmpp")
    parser.add_argument("--xmppjs", help="xmppjs.mjs, beside its node_modules")
    parser.add_argument("--nbxmpp", help="a Python with nbxmpp")
    parser.add_argument("--prosody", help="another server, and nothing else")
    parser.add_argument("--ejabberd", help="Erlang, which has that other server")
    parser.add_argument("--components", action="store_true",
                        help="external components, and nothing else")
    parser.add_argument("--biboumi", help="a bridge to IRC")
    parser.add_argument("--ngircd", help="a server of IRC")
    parser.add_argument("--suite", help="slixmpp's source package, unpacked")
    parser.add_argument("--only", help="clients, by commas",
                        default="slixmpp,aioxmpp,nbxmpp,tokio-xmpp,go-sendxmpp,xmpp.js,"
                                "slixmpp-suite")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if not options.verbose:  # the libraries' own complaints
        logging.disable(logging.CRITICAL)
    kinds = [Slixmpp, Aioxmpp]
    if options.tokio:
        Tokio.program = options.tokio
        kinds.append(Tokio)
    only = options.only.split(",")
    kinds = [kind for kind in kinds if kind.library in only]
    score = Score(options.verbose)
    peers = ((Prosody, options.prosody), (Ejabberd, options.ejabberd))
    peers = [(kind, peer) for kind, peer in peers if peer]
    for kind, peer in peers:
        await federation.perform(options.program, kind, peer, score)
    if peers:
        return result(score)
    if options.components:
        await with_component.run(options.program, score, (options.biboumi, options.ngircd))
        return result(score)
    server = Server(options.program)
    try:
        await server.start()
        await perform(server, score, kinds)
        if options.go and "go-sendxmpp" in only:
            with_go.Command.program = options.go
            await gophers(server, score)
        if options.nbxmpp and "nbxmpp" in only:
            await score.run("nbxmpp: logs in by SASL2, sees copies and what is published, resumes, "
                            "reads the archive", with_nbxmpp.run(server, options.nbxmpp))
        if options.xmppjs and "xmpp.js" in only:
            with_xmppjs.Installation.script = options.xmppjs
            await installation(server, score)
        if options.suite and "slixmpp-suite" in only:
            await with_slixmpp_suite.perform(options.program, options.suite, score)
        await score.run("the server stops in order", stopped(server))
        await score.run("the server panicked nowhere", server.calm())
        if score.counts["failed"]:
            print(f"-- the server's log:\n{server.log.read_text()[-6000:]}")
    finally:
        server.clear()
    return result(score)


def result(score):
    print(", ".join(f"{count} {outcome}" for outcome, count in score.counts.items()))
    return 1 if score.counts["failed"] or not score.counts["passed"] else 0


async def stopped(server):
    code = await server.stop()
    assert code == 0, f"exit {code}"


sys.exit(asyncio.run(main()))
