"""Runs the programs that the counting stands on."""

import subprocess


class Failed(Exception):
    """The text says what is missing or went wrong."""


def output(command, env=None):
    """What a program prints; Failed if it is missing or does not end with 0."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              text=True, check=False)
    except FileNotFoundError as missing:
        raise Failed("%s is missing" % command[0]) from missing
    if done.returncode != 0:
        raise Failed("%s ended with %d:\n%s" % (
            " ".join(command), done.returncode, done.stderr[-2000:]))
    return done.stdout
