"""The servers that a benchmark runs: each in a folder of its own, on a port of its own, ended by its own pid."""

import base64
import glob
import http.client
import json
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
SERVICE = f"cn=sync,{BASE}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, holds, log=None, seconds=60):
    end = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > end:
            words = Path(log).read_text(errors="replace")[-2000:] if log else ""
            raise RuntimeError(f"waited {seconds} s in vain for {what}\n{words}")
        time.sleep(0.01)
    return value


class Server:
    """A process in the foreground, with a log."""

    running = []

    @classmethod
    def stop_all(cls):
        """Ends those that nobody came to end, because their start failed half-way."""
        for server in list(cls.running):
            server.stop()

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700)
        self.log = self.folder / "log"
        self.process = None

    def spawn(self, arguments, **more):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        self.running.append(self)

    def is_alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.process.args[0]} ended\n{self.log.read_text(errors='replace')[-2000:]}")
        return True

    def listens(self, port):
        with socket.socket() as probe:
            return self.is_alive() and probe.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.running.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class OpenLDAP(Server):
    """slapd on mdb with u0 … u(users-1); it fsyncs every write unless `is_durable` is false."""

    def __init__(self, folder, users, is_durable):
        super().__init__(folder)
        self.port = free_port()
        self.users = users
        self.secret = self.folder / "secret"
        self.secret.write_text("service-secret")
        self.secret.chmod(0o600)
        (self.folder / "db").mkdir()
        configuration = [
            *(f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine", "inetorgperson")),
            "modulepath /usr/lib/ldap", "moduleload back_mdb",
            "database mdb", f'suffix "{BASE}"', f"directory {self.folder}/db", "maxsize 1073741824",
            "index objectClass,uid,entryUUID eq",
            *([] if is_durable else ["dbnosync"]),
            f'access to dn.subtree="{PEOPLE}" by dn.exact="{SERVICE}" write by anonymous auth by * none',
            f'access to * by dn.exact="{SERVICE}" read by anonymous auth by * none',
        ]
        (self.folder / "slapd.conf").write_text("\n".join(configuration) + "\n")
        with open(self.folder / "init.ldif", "w") as ldif:
            ldif.write(
                f"dn: {BASE}\nobjectClass: domain\ndc: example\n\n"
                f"dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: sync\n"
                f"userPassword: service-secret\n\ndn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n")
            for user in range(users):
                ldif.write(
                    f"dn: uid=u{user},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: u{user}\ncn: u{user}\nsn: u{user}\n"
                    "userPassword: before\n\n")
        subprocess.run(
            ["/usr/sbin/slapadd", "-q", "-f", self.folder / "slapd.conf", "-l", self.folder / "init.ldif"],
            check=True, capture_output=True)
        self.start("0")

    @property
    def uri(self):
        return f"ldap://127.0.0.1:{self.port}"

    def start(self, debug):
        """`debug`: "stats" logs each operation with the time, "0" nothing."""
        self.spawn(["/usr/sbin/slapd", "-d", debug, "-f", self.folder / "slapd.conf", "-h", self.uri])
        wait_until("slapd", lambda: self.listens(self.port), self.log)


class Daemon(Server):
    """Runtime Sync, with one LDAP provider or none."""

    def __init__(self, folder, binaries, directory=None):
        super().__init__(folder)
        self.binaries = Path(binaries)
        self.write("secrets/source", "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
        self.write("runtime-sync.yaml", f"""
journal: {{folder: {self.folder}/journal, key_file: {self.folder}/journal.key}}
intake: {{listen: "127.0.0.1:0"}}
control: {{socket: {self.folder}/control.sock}}
plugins: {{folders: [{self.binaries}]}}
sources:
  - {{name: keycloak, instance: bench, realms: [corp], kinds: ["*"], may_carry_password: true,
     secrets: [{{file: secrets/source}}]}}
""")
        (self.folder / "providers").mkdir()
        if directory:
            self.write("secrets/ldap", directory.secret.read_text())
            self.write("providers/directory.yaml", f"""
plugin: LDAPPassword
user_types: [employee]
settings:
  url: {directory.uri}
  start_tls: false
  allow_cleartext: true
  bind_dn: {SERVICE}
  bind_password: {{file: ../secrets/ldap}}
  base: {PEOPLE}
  account_dn: "uid={{{{externalId}}}},{PEOPLE}"
""")
        self.has_provider = directory is not None
        self.start()

    @property
    def secret(self):
        return self.folder / "secrets/source"

    def write(self, path, text):
        file = self.folder / path
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)

    def start(self):
        self.spawn([self.binaries / "runtime-sync", "serve", "--settings", self.folder / "runtime-sync.yaml"])

        def address():
            self.is_alive()
            return re.search(r"intake: listening address=127\.0\.0\.1:(\d+)", self.log.read_text())

        self.port = int(wait_until("the intake", address, self.log)[1])
        wait_until("the control socket", (self.folder / "control.sock").exists, self.log)
        if self.has_provider:
            wait_until("the worker", lambda: self.provider()["worker"] == "running", self.log)

    def provider(self):
        """What `providers list --json` says of the provider."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.folder / "control.sock"))
        connection.request("GET", "/providers")
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the daemon answers {answer.status}: {text.decode()}")
        return json.loads(text)[0]

    def wait_delivered(self, count):
        """Waits until that many deliveries have ended well and none waits; returns when that was, in s since 1970."""
        while True:
            report = self.provider()["report"]
            moment = time.time()
            if ended := {name: n for name, n in report["counters"].items() if name not in ("made", "delivered") and n}:
                raise RuntimeError(f"deliveries ended otherwise: {ended}")
            left = count - report["counters"].get("delivered", 0)
            if left == 0 and report["waiting"] + report["inFlight"] == 0:
                return moment
            self.is_alive()
            # To ask costs the daemon time: often only towards the end.
            time.sleep(0.1 if left > 1000 else 0.005)

    def processes(self):
        """The daemon's pid, and the worker's."""
        return {"daemon": self.process.pid, **({"worker": self.provider()["pid"]} if self.has_provider else {})}


class PostgreSQL(Server):
    """A cluster with its defaults, reached over a Unix socket; `insert_rate` adds single rows of 600 bytes."""

    def __init__(self, folder):
        super().__init__(folder)
        self.folder.chmod(0o755)
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        self.programs = found[-1] if found else os.path.dirname(shutil.which("initdb"))
        self.home = self.folder / "postgres"
        self.home.mkdir(mode=0o700)
        self.user = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.home, owner.pw_uid, owner.pw_gid)
            self.user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self.run("initdb", "-D", self.home / "data", "-A", "trust", "-U", "bench")
        self.spawn(
            [f"{self.programs}/postgres", "-D", self.home / "data", "-k", self.home, "-c", "listen_addresses="],
            cwd=self.home, **self.user)
        wait_until("PostgreSQL", lambda: self.is_alive() and self.answers(), self.log)
        self.sql("CREATE TABLE events(seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)")
        (self.home / "insert.sql").write_text(f"INSERT INTO events(body) VALUES ('{'x' * 600}');\n")
        (self.home / "insert.sql").chmod(0o644)

    def run(self, program, *arguments):
        return subprocess.run(
            [f"{self.programs}/{program}", *map(str, arguments)], cwd=self.home, check=True, capture_output=True,
            text=True, **self.user).stdout

    def answers(self):
        try:
            return self.sql("SELECT 1")
        except subprocess.CalledProcessError:
            return False

    def sql(self, statement):
        return self.run("psql", "-h", self.home, "-U", "bench", "-d", "postgres", "-qtAc", statement)

    def insert_rate(self, seconds):
        # -n: no vacuum first; -j 1: one thread, as the load on our intake has.
        output = self.run(
            "pgbench", "-h", self.home, "-U", "bench", "-n", "-c", 64, "-j", 1, "-M", "prepared", "-T", seconds, "-f",
            self.home / "insert.sql", "postgres")
        return float(re.search(r"tps = ([\d.]+)", output)[1])


class Redis(Server):
    """Redis with `appendfsync always`; `add_rate` adds stream entries of 430 bytes."""

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()
        self.spawn([
            "redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder, "--appendonly", "yes",
            "--appendfsync", "always", "--save", "", "--daemonize", "no"])
        wait_until("Redis", lambda: self.listens(self.port), self.log)

    def add_rate(self, count):
        output = subprocess.run(
            ["redis-benchmark", "-p", str(self.port), "-c", "64", "-n", str(count), "--csv", "XADD", "events", "*",
             "body", "x" * 430], check=True, capture_output=True, text=True).stdout
        return float(output.strip().splitlines()[-1].split('","')[1])
