"""Starts the server under test on a free loopback port and talks to it.

The program is $MAGPIED, else ./magpied of the build folder.  If it is memcached
itself, REFERENCE is true: rows whose expectation is not that of Debian's 1.6.18
(marked NEW: 1.6.45 differs, or OURS: we differ on purpose) are then skipped, so that the
rest shows whether the expectations are right.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import tap

PROGRAM = os.path.abspath(os.environ.get("MAGPIED", "./magpied"))
REFERENCE = os.path.basename(os.path.realpath(PROGRAM)).startswith("memcached")
DEADLINE = float(os.environ.get("TEST_DEADLINE", "10"))  # seconds for any single answer



def _sanitized():
    with open(PROGRAM, "rb") as program:
        return re.search(rb"__[at]san_init", program.read()) is not None


SANITIZED = os.path.isfile(PROGRAM) and _sanitized()  # its memory says nothing then
NEW = "1.6.18 differs from 1.6.45"
OURS = "memcached differs from us"

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed test leaves no server behind


def program_exists():
    """Ends the script with a skip if there is nothing to test."""
    if not os.access(PROGRAM, os.X_OK):
        tap.skip_all("%s is not built" % PROGRAM)


class NotStarted(Exception):
    """The server ended, or did not listen in time; the text holds its stderr."""


class Server:
    """One server process.  Use it in a with statement; leaving it checks the exit code.

    under is a command that runs the program, such as valgrind, with its options; host is the
    address that it listens on, and is talked to at.
    """

    def __init__(self, *args, env=None, tcp=True, unix=None, user=True, program=PROGRAM, under=(),
                 host="127.0.0.1"):
        self.host = host
        self.dir = tempfile.mkdtemp(prefix="magpie-t-")
        os.chmod(self.dir, 0o777)  # a server that gives up root writes its port file here
        self.unix = unix
        self.ports = {}
        command = [*under, program]
        if user and os.geteuid() == 0:
            command += ["-u", "root"]
        if tcp and "-l" not in args:
            command += ["-l", host]
        if tcp and "-p" not in args:
            command += ["-p", "-1"]
        command += [str(a) for a in args]
        environment = dict(os.environ)
        environment["MEMCACHED_PORT_FILENAME"] = os.path.join(self.dir, "ports")
        environment.update(env or {})
        self.stderr_path = os.path.join(self.dir, "stderr")
        self.command = command
        with open(self.stderr_path, "wb") as errors:
            self.proc = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                env=environment, preexec_fn=_die_with_parent)
        self.pid = self.proc.pid
        try:
            self._wait(tcp)
        except BaseException:
            self.kill()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    def _wait(self, tcp):
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if self.proc.poll() is not None:
                raise NotStarted("%s ended with %d: %s" % (
                    " ".join(self.command), self.proc.returncode, self.stderr()))
            if tcp and not self.ports:
                self._read_ports()
            if (not tcp or self.ports) and self._accepts():
                return
            time.sleep(0.005)
        raise NotStarted("%s does not accept: %s" % (" ".join(self.command), self.stderr()))

    def _read_ports(self):
        try:
            with open(os.path.join(self.dir, "ports")) as lines:
                for line in lines:
                    kind, _, port = line.rpartition(":")
                    self.ports.setdefault(kind.strip(), []).append(int(port))
        except FileNotFoundError:
            pass

    def _accepts(self):
        try:
            self.socket(timeout=1).close()
            return True
        except OSError:
            return False

    @property
    def port(self):
        """The first TCP port."""
        return (self.ports.get("TCP INET") or self.ports.get("TCP INET6"))[0]

    def socket(self, timeout=DEADLINE):
        """A new connected socket."""
        if self.unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self.unix)
            return sock
        sock = socket.create_connection((self.host, self.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def conn(self):
        """A new Conn."""
        return Conn(self.socket())

    def once(self, request):
        """Everything the server says to request on a connection of its own."""
        with self.conn() as c:
            c.send(request)
            return c.finish()

    def stderr(self):
        """What the server has printed so far."""
        with open(self.stderr_path, "rb") as errors:
            return errors.read().decode("utf-8", "replace")

    def status(self, name):
        """One number of /proc/PID/status, such as VmRSS (kB)."""
        with open("/proc/%d/status" % self.pid) as lines:
            for line in lines:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        raise KeyError(name)

    def switches(self):
        """Voluntary context switches of all threads: how often anything woke up."""
        total = 0
        for task in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/status" % (self.pid, task)) as lines:
                total += sum(int(line.split()[1]) for line in lines
                             if line.startswith("voluntary_ctxt_switches"))
        return total

    def stop(self, sig=signal.SIGTERM):
        """Sends sig to this process, waits for its end and returns the exit code."""
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        return self.wait()

    def wait(self):
        """Waits for the process to end by itself; its exit code."""
        try:
            return self.proc.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "still running after %g s" % DEADLINE

    def kill(self):
        """Ends the process at once."""
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        code = self.stop()
        if code != 0:
            tap.ok(False, "the server ends with 0", "it was %s; %s" % (code, self.stderr()[-2000:]))
        shutil.rmtree(self.dir, ignore_errors=True)


class Conn:
    """A connection with the reads a test needs.  Every wait has a deadline."""

    def __init__(self, sock):
        self.sock = sock
        self.have = b""

    def send(self, data):
        """Sends all of data."""
        self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(1 << 18)
        self.have += data
        return bool(data)

    def line(self):
        """The next line with its end; what there is if the connection closes first."""
        while b"\n" not in self.have:
            if not self._more():
                break
        line, newline, self.have = self.have.partition(b"\n")
        return line + newline

    def exact(self, n):
        """The next n bytes; fewer if the connection closes first."""
        parts = [self.have]
        got = len(self.have)
        while got < n:
            data = self.sock.recv(min(1 << 20, n - got))
            if not data:
                break
            parts.append(data)
            got += len(data)
        whole = b"".join(parts)
        self.have = whole[n:]
        return whole[:n]

    def until(self, end):
        """Everything up to and with the line end (given with its line end)."""
        lines = []
        while not lines or lines[-1] != end:
            line = self.line()
            if not line:
                break
            lines.append(line)
        return b"".join(lines)

    def ask(self, request, end=None):
        """Sends a request and returns its one line, or its lines until end."""
        self.send(request)
        return self.line() if end is None else self.until(end)

    def get(self, key):
        """The value of key, or None."""
        self.send(b"get " + key + b"\r\n")
        head = self.line()
        if head == b"END\r\n":
            return None
        words = head.split()
        if len(words) != 4 or words[0] != b"VALUE" or words[1] != key:
            raise ValueError("get %r: %r" % (key, head))
        value = self.exact(int(words[3]))
        rest = self.exact(7)
        if rest != b"\r\nEND\r\n":
            raise ValueError("behind the value of %r: %r" % (key, rest))
        return value

    def set(self, key, value, flags=0, exptime=0):
        """The answer to a set."""
        return self.ask(b"set %s %d %d %d\r\n%s\r\n" % (key, flags, exptime, len(value), value))

    def stats(self, what=b""):
        """The rows of a stats command as a dict of str, in their order."""
        self.send(b"stats" + (b" " + what if what else b"") + b"\r\n")
        rows = {}
        while True:
            line = self.line()
            if line == b"END\r\n":
                return rows
            if not line.startswith(b"STAT "):
                raise ValueError("stats %r: %r" % (what, line))
            _, name, value = line.rstrip(b"\r\n").split(b" ", 2)
            rows[name.decode()] = value.decode("utf-8", "backslashreplace")

    def finish(self):
        """Half-closes and returns everything up to the server's close."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it closed first
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        data, self.have = self.have, b""
        return data

    def closed(self):
        """True if the server closes without another byte."""
        try:
            return not self._more() and not self.have
        except ConnectionResetError:
            return True

    def close(self):
        """Closes the socket."""
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()


def rows(server, table):
    """Checks (name, request, answer[, mark]) rows, each on a connection of its own."""
    for row in table:
        name, request, answer = row[:3]
        if len(row) > 3 and REFERENCE:
            tap.skip(name, row[3])
            continue
        try:
            got = server.once(request)
        except OSError as error:
            got = repr(error).encode()
        tap.is_(got, answer, name)


def wait_until(condition, seconds=DEADLINE):
    """Asks condition() until it says yes or the time is over; its last answer."""
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer or time.monotonic() > until:
            return answer
        time.sleep(0.01)


def exits(*args, env=None, user=True):
    """Runs the server with args, which must make it end by itself: (exit code, what it said)."""
    command = [PROGRAM]
    if user and os.geteuid() == 0:
        command += ["-u", "root"]
    environment = dict(os.environ)
    environment.update(env or {})
    try:
        done = subprocess.run(command + [str(a) for a in args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE,
                              env=environment, preexec_fn=_die_with_parent, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as late:
        return None, "still running after %g s: %s" % (DEADLINE, late.stdout)


def pattern(text):
    """A bytes pattern."""
    return re.compile(text, re.S)
