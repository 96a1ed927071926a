"""Another server, made to look like ours to whoever drives it; the name server by which it finds
us, and the authority that signs for both."""

import asyncio
import signal
import socket
import struct
import subprocess

from server import DOMAIN, PATIENCE

ADDRESS = "127.0.0.1"
# How servers believe each other: by certificates of a test authority, over STARTTLS, over TLS from
# the first byte, and over one connection for both ways (XEP-0288); by dialback with certificates of
# their own making; and not at all, since each wants a certificate that it can trust.
EXTERNAL, DIRECT_TLS, BIDI = "EXTERNAL", "direct TLS", "both ways on one"
DIALBACK, NO_PROOF = "dialback", "no proof"
PROOFS = (EXTERNAL, DIRECT_TLS, BIDI, DIALBACK, NO_PROOF)


def trusts(proof):
    """Whether both servers trust the test's authority."""
    return proof in (EXTERNAL, DIRECT_TLS, BIDI)


class Peer:
    """A process with its settings, its log and its accounts. `proof` is how the servers believe
    each other: see `federation`."""

    name = domain = "?"
    address = ADDRESS
    certificate = None  # what people trust
    # It acknowledges what it gets (XEP-0198) from servers that believe each other like this.
    acknowledges = ()
    # After so many seconds what it took is on its disk.
    settling = 0
    # It answers questions to people who do not exist.
    answers_for_nobody = False
    # The host at which its DNS says that we are.
    target = DOMAIN
    # The ways of believing in which it is tried.
    proofs = ()

    def __init__(self, program, folder, proof, names, ports):
        self.program, self.proof, self.names = program, proof, names
        self.authority = folder
        self.certificate = folder / "ca.pem"
        self.folder = folder / "peer"
        self.folder.mkdir()
        self.starttls, self.s2s, self.extra = ports
        self.log = self.folder / "log"
        self.process = None
        self.configure()

    # What the file of a server fills in.

    def configure(self):
        """Writes its settings."""
        raise NotImplementedError

    def command(self):
        """What runs it in the foreground, and the environment for that."""
        raise NotImplementedError

    async def account(self, name):
        raise NotImplementedError

    def believed(self):
        """How it believed and was believed so far: pairs of "in" or "out", and the way."""
        raise NotImplementedError

    def wrote(self, ids):
        """Ids of messages that fit a pattern, in the order in which it wrote them to us; None: in
        which it got them."""
        return None

    # What is the same for all.

    def port(self, _):
        return self.starttls

    async def start(self):
        output = (self.folder / "output").open("ab")
        command, environment = self.command()
        self.process = subprocess.Popen(command, stdout=output, stderr=output,
                                        stdin=subprocess.DEVNULL, env=environment)
        for _ in range(PATIENCE * 20):
            if self.process.poll() is not None:
                said = (self.folder / "output").read_text()
                raise RuntimeError(f"{self.name} ended: {said[-2000:]}")
            try:
                for port in (self.starttls, self.s2s):
                    socket.create_connection((self.address, port), 1).close()
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen")

    async def kill(self):
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    def said(self, *words):
        """Lines of its log with all these words."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def clear(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) that knows where our domain is, and nothing else."""

    def __init__(self, service, target, port):
        self.service, self.target, self.port = f"{service}._tcp.{DOMAIN}", target, port

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, asker):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        question, kind = data[12:at + 5], struct.unpack("!H", data[at + 1:at + 3])[0]
        name, record = ".".join(labels), None
        if (name, kind) == (self.service, 33):
            target = b"".join(bytes([len(part)]) + part.encode() for part in self.target.split("."))
            record = struct.pack("!HHH", 0, 0, self.port) + target + b"\0"
        elif (name, kind) == (DOMAIN, 1):
            record = socket.inet_aton("127.0.0.1")
        known = record is not None or name == DOMAIN
        # An authoritative answer that could also have recursed; or no such name.
        flags = 0x8580 | (0 if known else 3)
        answer = data[:2] + struct.pack("!HHHHH", flags, 1, int(record is not None), 0, 0)
        answer += question
        if record is not None:
            answer += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(record)) + record
        self.transport.sendto(answer, asker)


def certify(folder, domains):
    """A test authority, and a certificate of it for each domain: what people trust."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *made, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
            "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for domain in domains:
        openssl("req", *made, "-keyout", f"{domain}.key", "-out", f"{domain}.csr",
                "-subj", f"/CN={domain}")
        (folder / f"{domain}.ext").write_text(
            f"subjectAltName=DNS:{domain}\nbasicConstraints=CA:FALSE\n"
            "extendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", f"{domain}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "30", "-extfile", f"{domain}.ext",
                "-out", f"{domain}.pem")


