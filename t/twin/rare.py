"""Cases for entries of the list of differences that chance alone would seldom meet."""

import random

import packets


def _begun(rng, key):
    """A bad line, and data that comes later."""
    line = rng.choice((b"set %s x 0 5\r\n", b"add %s 0 y 5\r\n", b"append %s -1 0 5\r\n")) % key
    return [("talk", "t1", [line + b"ab"], []),
            ("talk", "t1", [b"cde\r\n", b"get %s\r\n" % key], [])]


def _refused_early(rng, key):
    """A request that is refused, and data that never comes."""
    line = rng.choice((b"ms %s 9 Z\r\n", b"ms %s 9 F1 F2\r\n", b"set %s 0 0 3000000\r\n",
                       b"ms %s 3000000 T0\r\n")) % key
    return [("talk", "t1", [b"get %s\r\n" % key], []),
            ("talk", "t1", [line + b"a" * rng.choice((0, 1, 5))], [])]


def _packet_refused_early(rng, key):
    whole = rng.choice((packets.store("set", key, b"", bodylen=3000000),
                        packets.store("replace", key, b"x", bodylen=2000000)))
    return [("talk", "b1", [whole], [])]


def _packet_refused_before_key(rng, key):
    whole = rng.choice((packets.packet("get", b"l" * 251), packets.packet("noop", key * 9),
                        packets.store("set", b"l" * 300, b"x"),
                        packets.packet("touch", key * 9, b"", b"\0" * 3)))
    return [("talk", "b1", [whole[:rng.randrange(24, 33)]], [])]


def _accessed(rng, key):
    """Accesses within a minute."""
    return [("talk", "t1", [b"ms %s 1\r\nx\r\n" % key], []), ("shift", rng.choice((10, 30, 50))),
            ("talk", "t1", [b"mg %s v\r\n" % key], []), ("shift", rng.choice((1, 5, 9))),
            ("talk", "t1", [rng.choice((b"mg %s l\r\n", b"me %s\r\n", b"mg %s v l h\r\n")) % key],
             [])]


def _opaque_accessed(rng, key):
    asked = rng.choice((b"mg %s h\r\n", b"me %s\r\n", b"mg %s v h\r\n")) % key
    return [("talk", "t1", [b"ms %s 1\r\nx\r\n" % key, b"mg %s O%s\r\n" % (key, b"o" * 32),
                            asked], [])]


def _line_end_key(rng, _):
    return [("talk", "t1", [rng.choice((b"mg DQo= N0 b\r\n", b"ma DQo= N0 b\r\n"))], []),
            ("talk", "t1", [rng.choice((b"mg DQo= k b\r\n", b"me DQo= b\r\n"))], [])]


def _wide_length(rng, key):
    return [("talk", "t1", [b"set %s 0 0 %d\r\nx\r\n" % (key, 2**32 + rng.choice((0, 1, 2)))], [])]


def _long_counter(rng, key):
    value = b"7 " + b"z" * rng.choice((5000, 20000, 70000))
    return [("talk", "t1", [b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value),
                            rng.choice((b"incr %s 1\r\n", b"decr %s 9\r\n", b"ma %s v\r\n")) % key],
             [])]


def _long_line(rng, key):
    return [("talk", "t1", [rng.choice((b"gat 0", b"gats 0")) + (b" " + key) * 8300 + b"\r\n"], [])]


def _held_back(rng, key):
    """A value that fills the buffer, and a request whose value does not come."""
    return [("talk", "t1", [b"set %s 0 0 20000\r\n%s\r\n" % (key, b"y" * 20000),
                            rng.choice((b"mg nothing v\r\n", b"md nothing q\r\n")),
                            rng.choice((b"ms b 3 c\r\n", b"set b 0 0 3\r\n"))], [])]


def _detailed(rng, _):
    """Commands that "stats detail" counts."""
    asked = rng.choices((b"mg p:q v\r\n", b"ms p:q 1\r\nx\r\n", b"md p:q\r\n", b"get p:q\r\n",
                         b"touch p:q 0\r\n", b"gat 0 p:r\r\n", b"delete p:q\r\n",
                         b"incr p:q 1\r\n", b"set p:r 0 0 1\r\n5\r\n", b"ma p:r\r\n",
                         b"verbosity 0\r\n"), k=3)
    return [("talk", "t1", [b"stats detail on\r\n"] + asked, []),
            ("talk", "b1", [packets.touch(rng.choice(("touch", "gat")), b"p:q", 0)], []),
            ("talk", "t1", [b"stats detail dump\r\n"], [])]


RECIPES = (_detailed, _opaque_accessed, _begun, _refused_early, _packet_refused_early,
           _packet_refused_before_key, _accessed, _line_end_key, _wide_length, _long_counter,
           _long_line, _held_back)


def generate(seed, number, timed):
    """The case of this number."""
    rng = random.Random("rare/%d/%d" % (seed, number))
    case = rng.choice(RECIPES)(rng, rng.choice((b"a", b"b")))
    return [step for step in case if timed or step[0] == "talk"]
