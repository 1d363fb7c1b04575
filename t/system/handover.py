#!/usr/bin/python3
"""The service manager: sockets it hands over, and what it is told."""

import os
import shutil
import signal
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import DEADLINE, OURS, PROGRAM, REFERENCE, program_exists  # noqa: E402


def start(sockets, environment, pid_is_right=True):
    """Starts the server with these sockets from descriptor 3 on; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        spare = [os.dup(os.dup2(s.fileno(), 100 + i)) for i, s in enumerate(sockets)]
        for i, fd in enumerate(spare):
            os.dup2(fd, 3 + i, inheritable=True)
        os.closerange(3 + len(sockets), 200)
        env = dict(os.environ, LISTEN_FDS=str(len(sockets)), **environment)
        env["LISTEN_PID"] = str(os.getpid() if pid_is_right else os.getpid() + 1)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2, inheritable=True)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        os.execve(PROGRAM, [PROGRAM, "-l", "127.0.0.1", "-p", "-1"] + user, env)
    finally:
        os._exit(127)


def ask(family, address):
    """What a client at that address is answered."""
    with socket.socket(family) as c:
        c.settimeout(DEADLINE)
        c.connect(address)
        c.sendall(b"mn\r\n")
        return c.recv(100)


def end(pid):
    """Stops it; returns the exit code."""
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sockets_are_used():
    """A connection that came before the server is answered, and the manager knows the state."""
    folder = tempfile.mkdtemp(prefix="magpie-t-")
    path, told = os.path.join(folder, "socket"), os.path.join(folder, "notify")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        unix.bind(path)
        unix.listen(5)
        manager.bind(told)
        manager.settimeout(DEADLINE)
        early = socket.create_connection(tcp.getsockname(), DEADLINE)
        early.sendall(b"mn\r\n")
        pid = start([tcp, unix], {"NOTIFY_SOCKET": told})
        tap.ok(manager.recv(1000).startswith(b"READY=1"), "READY=1 is told")
        tap.is_(early.recv(100), b"MN\r\n", "who came before the server is answered")
        early.close()
        tap.is_(ask(socket.AF_INET, tcp.getsockname()), b"MN\r\n", "TCP")
        tap.is_(ask(socket.AF_UNIX, path), b"MN\r\n", "Unix")
        tap.is_(end(pid), 0, "it ends with 0")
        tap.is_(manager.recv(1000), b"STOPPING=1", "STOPPING=1 is told")
    shutil.rmtree(folder, ignore_errors=True)


def wrong_sockets():
    """What cannot be used is refused, what is not ours is left alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        code = os.waitstatus_to_exitcode(os.waitpid(start([udp], {}), 0)[1])
        tap.ok(code not in (0, 127), "a socket that does not listen is refused", code)
    folder = tempfile.mkdtemp(prefix="magpie-t-")
    told = os.path.join(folder, "notify")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(told)
        manager.settimeout(DEADLINE)
        pid = start([tcp], {"NOTIFY_SOCKET": told}, pid_is_right=False)
        manager.recv(1000)
        with socket.create_connection(tcp.getsockname(), DEADLINE) as c:
            c.settimeout(0.3)
            c.sendall(b"mn\r\n")
            try:
                answer = c.recv(100)
            except TimeoutError:
                answer = None
        tap.is_(answer, None, "sockets for another process are not ours")
        tap.is_(end(pid), 0, "and the server serves its own")
    shutil.rmtree(folder, ignore_errors=True)


def main():
    """Every function of this file."""
    program_exists()
    if REFERENCE:
        tap.skip_all(OURS)
    for function in (sockets_are_used, wrong_sockets):
        tap.guarded(function)
    tap.done()


main()
