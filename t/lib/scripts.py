"""Scripts of real clients: each prints a line "ok", "not ok" or "skip" for what it tries."""

import re
import shutil
import subprocess


def run(report, name, package, interpreter, path, args, environment):
    """Runs one; report gets (passed, name, why) for each of its lines, passed None for a skip."""
    if shutil.which(interpreter) is None:
        report.append((None, name, "there is no %s" % interpreter))
        return
    done = subprocess.run([interpreter, path] + [str(a) for a in args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          env=environment, check=False)
    if done.returncode == 77:
        report.append((None, name, "missing: %s" % package))
        return
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        found = re.match(r"(not )?ok (.*)", line)
        if line.startswith("skip "):
            report.append((None, name + ": " + line[5:].partition(" - ")[0],
                           line.partition(" - ")[2]))
        if found:
            what, _, why = found.group(2).partition(" - ")
            report.append((not found.group(1), "%s: %s" % (name, what), why))
    report.append((done.returncode == 0, name + ": the script ends well",
                   done.stderr.decode("utf-8", "replace")[-2000:]))
