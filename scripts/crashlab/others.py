"""Other servers under the same load and the same invariants: Debian's packages, each with what it
has for XEP-0198, 0280, 0313, 0163 and 0191 switched on, its own storage, and no limits of rate.

They are told of nothing but the wire: their stores are not read, and a kill is at a random moment,
never before a system call. Nothing else is relaxed; what their documentation does not promise is
counted all the same."""

import os
import shutil
import subprocess

from .server import DOMAINS, Failed, Process

PROSODY = """
pidfile = "{work}/prosody.pid"
data_path = "{data}"
run_as_root = true
log = {{ info = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{}} s2s_ports = {{}} http_ports = {{}} https_ports = {{}}
-- The packaged list, less the limits of rate and what speaks to other servers.
modules_enabled = {{
  "disco"; "roster"; "saslauth"; "tls"; "blocklist"; "bookmarks"; "carbons"; "pep"; "private";
  "smacks"; "vcard4"; "vcard_legacy"; "csi_simple"; "ping"; "register"; "time"; "uptime";
  "version"; "mam"; "posix"; "offline";
}}
modules_disabled = {{ "s2s" }}
allow_registration = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_hashed"
storage = "internal"
default_archive_policy = true
archive_expires_after = "1w"
max_archive_query_results = 100
{hosts}
"""


class Prosody(Process):
    """Prosody with its internal storage."""

    program = "prosody"

    def configure(self):
        self.data.mkdir(exist_ok=True)
        hosts = "\n".join(f'VirtualHost "{domain}"' for domain in DOMAINS)
        (self.work / "prosody.cfg.lua").write_text(
            PROSODY.format(work=self.work, data=self.data, port=self.port, hosts=hosts))

    def command(self):
        return ["prosody", "--config", str(self.work / "prosody.cfg.lua"), "-F"]

OTHERS = {"prosody": Prosody}

def install(name):
    """The package, if it is not there; needs root then. Its own service is not started."""
    if shutil.which(OTHERS[name].program):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", name]):
        done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{name} cannot be installed: {done.stderr.strip()[-300:]}")

def version(name):
    asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True,
                           text=True, check=False)
    return asked.stdout or "?"
