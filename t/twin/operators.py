"""Random cases of what operators say: slabs, lru, lru_crawler, watch, verbosity, shutdown.

They go to servers of their own ("o"): those that serve all other cases have no threads that move
items.  What comes out of a command is its answer and what "stats settings" says afterwards.

Not here is what memcached does in its own time: its crawler is busy for a moment even with nothing,
and ends some time after "disable" has been answered; a watcher is told OK by another thread.
"""

import random

WORDS = {
    b"slabs automove": (b"0", b"1", b"2", b"3", b"-1", b"x", b"1x", b"", b"+1", b"00"),
    b"slabs automove ratio": (b"0.5", b"0.01", b"1", b"x", b"", b"+0.5", b"1.5", b"-1"),
    b"slabs automove freeratio": (b"0.5", b"x", b""),
    b"slabs automove window": (b"5", b"2", b"3", b"1800", b"1801", b"x", b""),
    b"slabs reassign": (b"1 1", b"0 0", b"-1 -1", b"x y", b"1 x", b"x 1", b"1", b"", b"1 2 3",
                        b"64 1", b"1 64", b"1 999", b"-2 1", b"+1 1", b"1 1x"),
    b"lru tune": (b"10 25 0.1 2.0", b"20 40 0.2 2", b"50 40 0.1 2", b"81 1 1 1", b"x 25 0.1 2",
                  b"10 x 0.1 2", b"10 25 x 2", b"10 25 0.1 x", b"10 25 0 2", b"10 25 -1 2",
                  b"10 25 1 0", b"10 25 0.1", b"10", b"", b"-1 25 0.1 2", b"79 1 1 1",
                  b"+10 +25 +0.1 +2", b"10 25 1e1 .5", b"80 0 1 1", b"0 0 1 1"),
    b"lru mode": (b"flat", b"segmented", b"x", b"", b"FLAT"),
    b"lru temp_ttl": (b"60", b"0", b"-1", b"x", b"", b"1x", b"+5"),
    b"lru": (b"", b"x", b"tun", b"noreply"),
    b"slabs": (b"", b"x", b"noreply", b"move"),
    b"lru_crawler": (b"", b"x", b"noreply"),
    b"lru_crawler enable": (b"",),
    b"lru_crawler disable": (b"x",),
    b"lru_crawler sleep": (b"100", b"0", b"1000001", b"x", b"-1", b"", b"+7"),
    b"lru_crawler tocrawl": (b"5", b"0", b"x", b"-1", b"", b"+7", b"4294967295"),
    b"lru_crawler crawl": (b"x", b"0", b"64", b"1,x", b"1,,64", b",", b"-1", b"hash", b"1x", b"",
                           b"256", b"+0"),
    b"lru_crawler metadump": (b"x", b"0", b"64", b"hashx", b"1,x", b""),
    b"watch": (b"x", b"fetchers x", b"x noreply", b"noreply", b"fetchersx", b"rawcmds x"),
    b"version\r\nwatch": (b"", b"fetchers", b"x", b"rawcmds mutations"),
    b"touch a 0\r\nwatch": (b"", b"fetchers"),
    b"version\r\nlru_crawler metadump": (b"all", b"hash"),
    b"verbosity": (b"0", b"1", b"2", b"9", b"x", b"-1", b"", b"+1", b"noreply"),
    b"shutdown": (b"", b"graceful", b"x", b"noreply"),
    b"refresh_certs": (b"", b"x"),
    b"mn": (b"", b"x", b"x y"),
    b"me": (b"", b"a", b"a b", b"a x", b"a b c", b"!!! b", b"k" * 251, b"YQ== b"),
    b"cache_memlimit": (b"100", b"8", b"7", b"x", b"", b"-1", b"+64", b"1000000001"),
    b"stats": (b"settingsx", b"sizes x"),
}
MORE = (b" noreply", b" noreply", b" x", b" ", b"  ", b" 1", b" noreply x")
BEYOND = (b"1.5", b"-1", b"80 0 1 1", b"0 0 1 1")  # what we refuse must be seen to be refused
SETTINGS = b"stats settings\r\n"

DEFAULTS = b"".join(line + b"\r\n" for line in (
    b"slabs automove 1", b"slabs automove ratio 0.8", b"lru tune 20 40 0.2 2.0",
    b"lru mode segmented", b"lru temp_ttl 61", b"lru temp_ttl -1", b"lru_crawler enable",
    b"lru_crawler sleep 100", b"lru_crawler tocrawl 0", b"verbosity 0", b"cache_memlimit 64"))


def is_operators(case):
    """True for a case that goes to the servers of this file."""
    return any(step[0] == "talk" and step[1].startswith("o") for step in case)


def _line(rng):
    word = rng.choice(sorted(WORDS))
    what = rng.choice(WORDS[word])
    more = b""
    if rng.random() < 0.2 and what not in BEYOND:
        more = rng.choice(MORE)
    return word + (b" " if what else b"") + what + more + b"\r\n"


def generate(seed, number):
    """The case of this number: each line in one go with nothing else."""
    rng = random.Random("operators/%d/%d" % (seed, number))
    case = []
    for _ in range(rng.choice((1, 2, 4, 8))):
        line = _line(rng)
        name = "o%d" % len(case) if b"watch" in line else "o"
        case.append(("talk", name, [line], []))
    return case + [("talk", "o", [SETTINGS], [])]
