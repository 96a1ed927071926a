"""Prosody (Debian). It finds us by libunbound, which it is told to ask our name server."""

import asyncio
import re

from peer import BIDI, DIALBACK, DIRECT_TLS, EXTERNAL, NO_PROOF, Peer, trusts
from server import secret


class Prosody(Peer):
    name, domain = "Prosody", "prosody.test"
    proofs = (EXTERNAL, DIRECT_TLS, BIDI, DIALBACK, NO_PROOF)
    # It offers that to servers that have logged in, so not where dialback is the proof.
    acknowledges = (EXTERNAL, DIRECT_TLS, BIDI)

    def configure(self):
        self.settings = self.folder / "prosody.cfg.lua"
        secure = "false" if self.proof == DIALBACK else "true"
        authority = f'cafile = "{self.certificate}"' if trusts(self.proof) else "verify = nil"
        direct = self.proof == DIRECT_TLS
        kind, other = ("direct_tls_", "") if direct else ("", "direct_tls_")
        bidi = "" if self.proof == BIDI else '"s2s_bidi",'
        self.settings.write_text(f"""
run_as_root = true; prosody_user = "root"; prosody_group = "root"
data_path = "{self.folder}"; pidfile = "{self.folder}/pid"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{self.log}" }} }}
plugin_paths = {{}}
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco", "ping", "vcard", "offline",
    "smacks", "pep", "posix", "s2s_bidi" }}
modules_disabled = {{ {bidi} "http", "bosh", "websocket" }}
interfaces = {{ "{self.address}" }}; local_interfaces = {{ "{self.address}" }}
c2s_ports = {{ {self.starttls} }}; c2s_direct_tls_ports = {{}}
s2s_{kind}ports = {{ {self.s2s} }}; s2s_{other}ports = {{}}; http_ports = {{}}; https_ports = {{}}
authentication = "internal_hashed"
s2s_require_encryption = true; s2s_secure_auth = {secure}
use_ipv6 = false
unbound = {{ resolvconf = false, hoststxt = false, forward = "{self.address}@{self.names}",
    options = {{ ["do-not-query-localhost:"] = "no" }} }}
ssl = {{ key = "{self.authority}/{self.domain}.key"; {authority};
    certificate = "{self.authority}/{self.domain}.pem" }}
VirtualHost "{self.domain}"
""")

    def command(self):
        return [self.program, "--config", self.settings, "-F"], None

    async def account(self, name):
        process = await asyncio.create_subprocess_exec(
            f"{self.program}ctl", "--config", self.settings, "register", name, self.domain,
            secret(name), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        told, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"prosodyctl: {told.decode()}")
        return f"{name}@{self.domain}"

    def believed(self):
        ways = {"out": "Sending[s2sout_unauthed]: <", "in": "Received[s2sin_unauthed]: <"}
        words = {EXTERNAL: "mechanism='EXTERNAL'", DIALBACK: "result"}
        return {(way, proof) for way, line in ways.items() for proof, word in words.items()
                if self.said(line, word)}

    def wrote(self, ids):
        return re.findall(rf"Sending\[s2sout\]: <message[^>]* id='({ids})'",
                          self.log.read_text(errors="replace"))
