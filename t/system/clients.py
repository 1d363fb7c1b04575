#!/usr/bin/python3
"""Real clients: each holds a session of its own, and memccapable runs its whole suite.

npm's clients are looked for where NODE_PATH says, or where contrib/check puts them.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import scripts  # noqa: E402
import tap  # noqa: E402
from server import REFERENCE, Server, program_exists  # noqa: E402

TOP = os.path.abspath(os.path.join(HERE, "..", ".."))
ENVIRONMENT = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
ENVIRONMENT.setdefault("NODE_PATH", os.path.join(TOP, "build-check", "node", "node_modules"))
if REFERENCE:
    ENVIRONMENT["REFERENCE"] = "1"  # for what memcached does not do

NPM = "nodejs, and contrib/check node"
# (name, Debian package or where it comes from, interpreter, script, arguments before host and port)
SESSIONS = [
    ("pylibmc", "python3-pylibmc", "/usr/bin/python3", "pylibmc_session.py", []),
    ("pymemcache", "python3-pymemcache", "/usr/bin/python3", "pymemcache_session.py", []),
    ("bmemcached", "python3-binary-memcached", "/usr/bin/python3", "bmemcached_session.py", []),
    ("python-memcached", "python3-memcache", "/usr/bin/python3", "python_memcached.py", []),
    ("Cache::Memcached", "libcache-memcached-perl", "perl", "perl.pl", ["Cache::Memcached"]),
    ("Cache::Memcached::Fast", "libcache-memcached-fast-perl", "perl", "perl.pl",
     ["Cache::Memcached::Fast"]),
    ("dalli", "ruby-dalli", "ruby", "dalli.rb", []),
    ("php-memcached", "php-memcached", "php", "memcached.php", []),
    ("npm memcached", NPM, "node", "node/memcached.js", []),
    ("npm memjs", NPM, "node", "node/memjs.js", []),
    ("libmemcached-tools", "libmemcached-tools", "/usr/bin/python3", "libmemcached.py", []),
    ("memcached-tool", "memcached", "/usr/bin/python3", "memcached_tool.py", []),
]


def session(report, name, package, interpreter, script, args):
    """Runs one client's script; report gets (passed, name, why) for each of its lines."""
    with Server() as s:
        scripts.run(report, name, package, interpreter, os.path.join(HERE, "clients", script),
                    args + ["127.0.0.1", s.port], ENVIRONMENT)


def memccapable(report, letter, word):
    """libmemcached's test of servers."""
    tool = shutil.which("memccapable") or shutil.which("memcapable")
    if tool is None:
        report.append((None, "memccapable " + letter,
                       "Debian package libmemcached-tools is missing"))
        return
    with Server() as s:
        done = subprocess.run([tool, "-h", "127.0.0.1", "-p", str(s.port), letter, "-t", "10"],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90,
                              check=False)
    said = done.stdout.decode("utf-8", "replace")
    rows = re.findall(r"^(%s .*?)\s*\[(\w+)\]" % word, said, re.M)
    report.extend((verdict == "pass", "memccapable: " + name, verdict) for name, verdict in rows)
    report.append((len(rows) == 27, "memccapable %s: all of its tests ran" % letter, len(rows)))
    report.append((done.returncode == 0, "memccapable %s: and passed" % letter, said[-2000:]))


def main():
    """All clients at once, since they sleep most of the time; what they say is printed in order."""
    program_exists()
    jobs = [(memccapable, "-a", "ascii"), (memccapable, "-b", "binary")] + [(session,) + row
                                                                            for row in SESSIONS]
    reports = [[] for _ in jobs]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job[0], report, *job[1:]) for job, report in zip(jobs, reports)]
    for job, report, result in zip(jobs, reports, running):
        for passed, name, why in report:
            if passed is None:
                tap.skip(name, why)
            else:
                tap.ok(passed, name, why)
        tap.guarded(result.result)
    tap.done()


main()
