"""ejabberd (Debian), without a distributed Erlang: accounts are made by its HTTP interface. It
finds us by Erlang's own resolver, which a file of its (`ERL_INETRC`) sends to our name server, but
looks up addresses as all programs of this machine do. It has neither XEP-0198 nor XEP-0288 between
servers, and looks for no direct TLS."""

import asyncio
import json
import os
import pathlib
import urllib.request

from peer import DIALBACK, EXTERNAL, NO_PROOF, Peer, trusts
from server import secret


class Ejabberd(Peer):
    name, domain = "ejabberd", "ejabberd.test"
    proofs = (EXTERNAL, DIALBACK, NO_PROOF)
    target = "localhost"
    answers_for_nobody = True
    settling = 3

    def configure(self):
        self.settings = self.folder / "ejabberd.yml"
        with (self.folder / "certificate.pem").open("w") as both:
            for kind in ("pem", "key"):
                both.write((self.authority / f"{self.domain}.{kind}").read_text())
        # What it must not believe is told apart by who signed our certificate.
        authority = f'ca_file: "{self.certificate}"' if trusts(self.proof) else ""
        dialback = "mod_s2s_dialback: {}" if self.proof == DIALBACK else ""
        octets = ",".join(self.address.split("."))
        (self.folder / "inetrc").write_text(
            "{resolv_conf, \"\"}.\n{hosts_file, \"\"}.\n{lookup, [dns]}.\n"
            f"{{nameserver, {{{octets}}}, {self.names}}}.\n")
        self.settings.write_text(f"""
loglevel: info
log_rotate_count: 0
hosts: [ {self.domain} ]
certfiles: [ "{self.folder}/certificate.pem" ]
{authority}
auth_method: [ internal ]
listen:
  - {{ port: {self.starttls}, ip: "{self.address}", module: ejabberd_c2s, starttls: true }}
  - {{ port: {self.s2s}, ip: "{self.address}", module: ejabberd_s2s_in }}
  - port: {self.extra}
    ip: "{self.address}"
    module: ejabberd_http
    request_handlers: {{ /api: mod_http_api }}
s2s_use_starttls: required
s2s_dns_timeout: 2
s2s_max_retry_delay: 2
outgoing_s2s_families: [ ipv4 ]
api_permissions:
  "this machine": {{ who: [ ip: 127.0.0.0/8 ], what: [ register ] }}
shaper_rules: {{ max_user_offline_messages: infinity, max_user_sessions: 10 }}
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_disco: {{}}
  mod_offline: {{ access_max_user_messages: max_user_offline_messages }}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_pubsub: {{ plugins: [ flat, pep ] }}
  mod_roster: {{}}
  mod_vcard: {{ search: false }}
  {dialback}
""")

    def command(self):
        beams = next(pathlib.Path("/usr/lib").glob("*/ejabberd-*/ebin"))
        environment = {
            **os.environ, "HOME": str(self.folder), "EJABBERD_CONFIG_PATH": str(self.settings),
            "EJABBERD_LOG_PATH": str(self.log), "ERL_INETRC": str(self.folder / "inetrc"),
            "ERL_CRASH_DUMP_BYTES": "0", "ERL_LIBS": str(beams.parent.parent),
        }
        return [self.program, "-noinput", "-mnesia", "dir", f'"{self.folder}/mnesia"',
                "-s", "ejabberd"], environment

    async def account(self, name):
        def register():
            asked = {"user": name, "host": self.domain, "password": secret(name)}
            request = urllib.request.Request(
                f"http://{self.address}:{self.extra}/api/register", json.dumps(asked).encode(),
                {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=30).close()

        await asyncio.to_thread(register)
        return f"{name}@{self.domain}"

    def believed(self):
        ways = {"in": "inbound s2s", "out": "outbound s2s"}
        return {(way, proof) for way, line in ways.items() for proof in (EXTERNAL, DIALBACK)
                if self.said("Accepted", line, proof)}
