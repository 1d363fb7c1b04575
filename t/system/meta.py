#!/usr/bin/python3
"""The meta protocol: every command, flag, error and the stale and win flows."""

import base64
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import NEW, OURS, REFERENCE, Server, pattern, program_exists, rows  # noqa: E402

FORMAT = b"CLIENT_ERROR bad command line format\r\n"
TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
DUPLICATE = b"CLIENT_ERROR duplicate flag\r\n"
INVALID = b"CLIENT_ERROR invalid flag\r\n"
LARGE = b"SERVER_ERROR object too large for cache\r\n"
NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
ARITHMETIC = b"CLIENT_ERROR invalid or duplicate flag\r\n"


def gets(s):
    """mg and its return flags."""
    s.once(b"set a 5 0 3\r\nabc\r\nset e 0 0 0\r\n\r\nset ttl 0 1000 1\r\nx\r\n")
    rows(s, [
        ("mg miss", b"mg nothing v\r\n", b"EN\r\n"),
        ("mg without flags", b"mg a\r\n", b"HD\r\n"),
        ("mg v", b"mg a v\r\n", b"VA 3\r\nabc\r\n"),
        ("mg v of an empty value", b"mg e v\r\n", b"VA 0\r\n\r\n"),
        ("flags in the order asked for", b"mg a s v f k t\r\n", b"VA 3 s3 f5 ka t-1\r\nabc\r\n"),
        ("and in another", b"mg a t k f v s\r\n", b"VA 3 t-1 ka f5 s3\r\nabc\r\n"),
        ("without the value", b"mg a s f t\r\n", b"HD s3 f5 t-1\r\n"),
        ("k and opaque", b"mg a k Oxyz s\r\n", b"HD ka Oxyz s3\r\n"),
        ("q on a hit", b"mg a v q\r\nmn\r\n", b"VA 3\r\nabc\r\nMN\r\n"),
        ("q on a miss", b"mg nothing v q\r\nmn\r\n", b"MN\r\n"),
        ("k and O on a miss", b"mg nothing s v Oq1 k\r\n", b"EN Oq1 knothing\r\n", NEW),
        ("runs of blanks", b"mg  a   v \r\n", b"VA 3\r\nabc\r\n"),
        ("bare newline", b"mg a v\n", b"VA 3\r\nabc\r\n"),
        ("opaque of 31 bytes", b"mg a O" + b"o" * 31 + b"\r\n", b"HD O" + b"o" * 31 + b"\r\n"),
        ("opaque of 32 bytes", b"mg a O" + b"o" * 32 + b"\r\n",
         b"CLIENT_ERROR opaque token too long\r\n"),
        ("P and L are for proxies", b"mg a Pabc L5 s\r\n", b"HD s3\r\n"),
        ("duplicate flag", b"mg a s s\r\n", DUPLICATE, NEW),
        ("unknown flag", b"mg a s !\r\n", INVALID, NEW),
        ("upper case Z is none", b"mg a Z\r\n", INVALID, NEW),
        ("too many flags", b"mg a" + b" s" * 30 + b"\r\n",
         b"CLIENT_ERROR options flags are too long\r\n", NEW),
        ("errors ignore q", b"mg a q s s\r\n", DUPLICATE, NEW),
        ("T without a number", b"mg a Tabc\r\n", TOKEN),
        ("N without a number", b"mg a Nabc\r\n", TOKEN),
        ("R without a number", b"mg a Rabc\r\n", TOKEN),
        ("T over 2^31-1", b"mg a T2147483648\r\n", TOKEN, NEW),
        ("mg without a key", b"mg\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("251-byte key", b"mg %s v\r\n" % (b"k" * 251), FORMAT),
        ("250-byte key", b"mg %s v\r\n" % (b"k" * 250), b"EN\r\n"),
        ("C of the item drops the value",
         b"ms mc 2 E77\r\nhi\r\nmg mc v c C77\r\nmg mc v c C76\r\n",
         b"HD\r\nHD c77\r\nVA 2 c77\r\nhi\r\n", NEW),
    ])
    with s.conn() as c:
        got = c.ask(b"mg ttl t c v\r\n") + c.exact(3)
        tap.is_(got, pattern(rb"VA 1 t(999|1000) c[1-9][0-9]*\r\nx\r\n"), "t and c")
        c.set(b"h", b"x")
        tap.is_(c.ask(b"mg h h l t\r\n"), pattern(rb"HD h0 l[01] t-1\r\n"),
                "h before the first hit")
        tap.is_(c.ask(b"mg h h l t\r\n"), pattern(rb"HD h1 l[01] t-1\r\n"), "h behind it")
        time.sleep(2.1)
        tap.is_(c.ask(b"mg h u l\r\n"), pattern(rb"HD l[123]\r\n"), "l counts seconds")
        tap.is_(c.ask(b"mg h l\r\n"), pattern(rb"HD l[123]\r\n"), "u does not reset l")
        tap.is_(c.ask(b"mg h l\r\n"), pattern(rb"HD l0\r\n"), "a look without u does")
        c.set(b"u", b"x")
        c.ask(b"mg u u\r\n")
        tap.is_(c.ask(b"mg u h\r\n"), b"HD h0\r\n", "u does not count as a hit")
        tap.is_(c.ask(b"mg ttl t T30\r\n"), pattern(rb"HD t9\d\d\r\n"), "t before T: the old time")
        tap.is_(c.ask(b"mg ttl T100 t\r\n"), pattern(rb"HD t(100|99)\r\n"),
                "t behind T: the new one")
        tap.is_(c.ask(b"mg ttl T-1\r\n"), b"HD\r\n", "T-1 still answers")
        tap.is_(c.ask(b"mg ttl\r\n"), b"EN\r\n", "and the item is gone")


def sets(s):
    """ms, its modes and errors."""
    rows(s, [
        ("ms and mg", b"ms m1 2\r\nhi\r\nmg m1 s v\r\n", b"HD\r\nVA 2 s2\r\nhi\r\n"),
        ("ms with client flags and a time", b"ms m1 2 F4294967295 T90\r\nhi\r\nmg m1 f t\r\n",
         pattern(rb"HD\r\nHD f4294967295 t(90|89)\r\n")),
        ("ms of an empty value", b"ms m0 0\r\n\r\nmg m0 v\r\n", b"HD\r\nVA 0\r\n\r\n"),
        ("ms returns k O b", b"ms m1 2 k Oopq\r\nhi\r\n", b"HD km1 Oopq\r\n"),
        ("ms q", b"ms m1 2 q\r\nhi\r\nmn\r\n", b"MN\r\n"),
        ("ms s: the size", b"ms m1 2 s\r\nhi\r\nms m1 3 MA s\r\nxyz\r\n", b"HD s2\r\nHD s5\r\n",
         NEW),
        ("add", b"ms m2 1 ME\r\na\r\nms m2 1 ME\r\nb\r\nms m2 1 ME q\r\nb\r\nmg m2 v\r\n",
         b"HD\r\nNS\r\nNS\r\nVA 1\r\na\r\n"),
        ("replace", b"ms m3 1 MR\r\na\r\nms m3 1\r\na\r\nms m3 1 MR\r\nb\r\nmg m3 v\r\n",
         b"NS\r\nHD\r\nHD\r\nVA 1\r\nb\r\n"),
        ("append and prepend",
         b"ms m4 1 MA\r\na\r\nms m4 1\r\na\r\nms m4 1 MA\r\nb\r\nms m4 1 MP\r\nc\r\nmg m4 v\r\n",
         b"NS\r\nHD\r\nHD\r\nHD\r\nVA 3\r\ncab\r\n"),
        ("append with N creates", b"ms m5 1 MA N30\r\na\r\nms m5 1 MA N30\r\nb\r\nmg m5 v t\r\n",
         pattern(rb"HD\r\nHD\r\nVA 2 t(30|29)\r\nab\r\n"), NEW),
        ("prepend with N creates", b"ms m6 1 MP N30\r\na\r\nmg m6 v\r\n", b"HD\r\nVA 1\r\na\r\n",
         NEW),
        ("mode S", b"ms m7 1 MS\r\na\r\nmg m7 v\r\n", b"HD\r\nVA 1\r\na\r\n"),
        ("wrong mode swallows its data", b"ms m8 2 MZ\r\nmn\r\nmn\r\n",
         b"CLIENT_ERROR invalid mode for ms M token\r\nMN\r\n", NEW),
        ("C on a miss", b"ms m9 1 C5\r\na\r\n", b"NF\r\n"),
        ("append with C on a miss", b"ms m9 1 MA C5\r\na\r\n", b"NS\r\n"),
        ("E chooses the cas number",
         b"ms me 1 E1234 c\r\na\r\nmg me c\r\nms me 1 C1234 E99 c\r\nb\r\nms me 1 C1234\r\nc\r\n"
         b"mg me c v\r\n", b"HD c1234\r\nHD c1234\r\nHD c99\r\nEX\r\nVA 1 c99\r\nb\r\n", NEW),
        ("C0 never matches", b"ms mz 1\r\na\r\nms mz 1 C0\r\nb\r\n", b"HD\r\nEX\r\n"),
        ("c is 0 when not stored", b"ms mz 1 ME c Oo k\r\nb\r\n", b"NS c0 Oo kmz\r\n", NEW),
        ("bad data chunk", b"ms m1 2\r\nhixxmn\r\n", b"CLIENT_ERROR bad data chunk\r\nMN\r\n"),
        ("ms without a length", b"ms m1\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("ms with a word for a length", b"ms m1 abc\r\nmn\r\n",
         pattern(rb"CLIENT_ERROR bad [a-z ]+\r\nMN\r\n"), NEW),
        ("ms with a negative length", b"ms m1 -1\r\nmn\r\n",
         pattern(rb"CLIENT_ERROR bad [a-z ]+\r\nMN\r\n"), NEW),
        ("ms of the old syntax", b"ms m1 S2\r\nmn\r\n",
         pattern(rb"CLIENT_ERROR bad [a-z ]+\r\nMN\r\n"), NEW),
        ("F without a number swallows", b"ms m1 2 Fabc\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("F over 2^32-1", b"ms m1 2 F4294967296\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("T without a number swallows", b"ms m1 2 Tabc\r\nmn\r\nmn\r\n", TOKEN + b"MN\r\n", NEW),
        ("C without a number swallows", b"ms m1 2 Cabc\r\nmn\r\nmn\r\n", TOKEN + b"MN\r\n", NEW),
        ("duplicate flag swallows", b"ms m1 2 T1 T2\r\nmn\r\nmn\r\n", DUPLICATE + b"MN\r\n", NEW),
        ("unknown flag swallows", b"ms m1 2 !\r\nmn\r\nmn\r\n", INVALID + b"MN\r\n", NEW),
        ("long key swallows", b"ms %s 2\r\nmn\r\nmn\r\n" % (b"k" * 251), FORMAT + b"MN\r\n", NEW),
        ("too large removes the old value", b"ms ml 2\r\nhi\r\nms ml 1049600\r\n" + b"v" * 1049600
         + b"\r\nmg ml v\r\n",
         b"HD\r\n" + LARGE + b"EN\r\n", NEW),
        ("too large answers although q", b"ms ml 1049600 q\r\n" + b"v" * 1049600 + b"\r\nmn\r\n",
         LARGE + b"MN\r\n", NEW),
        ("T-1 is stored and gone", b"ms mt 1 T-1\r\na\r\nmg mt v\r\n", b"HD\r\nEN\r\n"),
        ("I with q", b"ms mi 1 I q\r\na\r\nmg mi v\r\n", b"VA 1\r\na\r\n"),
    ])


def deletes(s):
    """md."""
    rows(s, [
        ("md", b"set d 0 0 1\r\nx\r\nmd d\r\nmd d\r\nmg d v\r\n", b"STORED\r\nHD\r\nNF\r\nEN\r\n"),
        ("md returns k and O", b"set d 0 0 1\r\nx\r\nmd d Oabc k\r\nmd d k Oabc\r\n",
         b"STORED\r\nHD Oabc kd\r\nNF kd Oabc\r\n"),
        ("md q", b"set d 0 0 1\r\nx\r\nmd d q\r\nmn\r\n", b"STORED\r\nMN\r\n"),
        ("md q on a miss shows", b"md d q\r\nmn\r\n", b"MN\r\n" if REFERENCE else b"NF\r\nMN\r\n",
         NEW),
        ("md C", b"ms d 1 E50\r\nx\r\nmd d C49\r\nmd d C50 q\r\nmg d v\r\n", b"HD\r\nEX\r\nEN\r\n",
         NEW),
        ("md C q that fails shows", b"ms d 1 E50\r\nx\r\nmd d C49 q\r\nmn\r\n",
         b"HD\r\nEX\r\nMN\r\n", NEW),
        ("md C on a miss", b"md nothing C5\r\n", b"NF\r\n"),
        ("flags that mean nothing here", b"set d 0 0 1\r\nx\r\nmd d a\r\n",
         pattern(rb"STORED\r\n(HD|CLIENT_ERROR [a-z ]+)\r\n")),
        ("known letters pass", b"set d 0 0 1\r\nx\r\nmd d v t s\r\n", pattern(rb"STORED\r\nHD\r\n"),
         NEW),
        ("md I marks stale", b"set d 0 0 1\r\nx\r\nmd d I T30\r\nmg d t v\r\nmg d v\r\n",
         pattern(rb"STORED\r\nHD\r\nVA 1 t(30|29) (W X|X W)\r\nx\r\nVA 1 (X Z|Z X)\r\nx\r\n")),
        ("T without I is ignored, so md deletes", b"set d 0 0 1\r\nx\r\nmd d T30\r\nmg d\r\n",
         b"STORED\r\nHD\r\nEN\r\n"),
        ("x drops value and client flags", b"ms d 3 F9\r\nabc\r\nmd d x\r\nmg d v f s t\r\n",
         b"HD\r\nHD\r\nVA 0 f0 s0 t-1\r\n\r\n", NEW),
        ("x I is a tombstone", b"ms d 3 F9\r\nabc\r\nmd d x I T30\r\nmg d v f\r\n",
         b"HD\r\nHD\r\nVA 0 f0 X W\r\n\r\n", NEW),
        ("md I with E", b"ms d 1 E50\r\nx\r\nmd d I E60\r\nmg d c\r\n",
         b"HD\r\nHD\r\nHD c60 X W\r\n", NEW),
        ("md without a key", b"md\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("md duplicate flag", b"md d q q\r\n", DUPLICATE, NEW),
        ("md bad C", b"md d Cabc\r\n", TOKEN, NEW),
    ])


def arithmetic(s):
    """ma."""
    rows(s, [
        ("ma miss", b"ma n1\r\nma n1 q\r\n", b"NF\r\nNF\r\n"),
        ("ma counts", b"set n1 3 0 1\r\n1\r\nma n1\r\nma n1 v\r\nma n1 v D10\r\n",
         b"STORED\r\nHD\r\nVA 1\r\n3\r\nVA 2\r\n13\r\n"),
        ("ma M-", b"ma n1 MD v\r\nma n1 M- D100 v\r\nma n1 M+ v\r\nma n1 MI v\r\n",
         b"VA 2\r\n12\r\nVA 1\r\n0\r\nVA 1\r\n1\r\nVA 1\r\n2\r\n"),
        ("ma keeps client flags", b"mg n1 f\r\n", b"HD f3\r\n"),
        ("ma N J creates", b"ma n2 N90 J13 v t D5\r\nma n2 v t\r\n",
         pattern(rb"VA 2 t(90|89)\r\n13\r\nVA 2 t(90|89)\r\n14\r\n")),
        ("ma N0 lives for ever", b"ma n3 N0 v t\r\n", b"VA 1 t-1\r\n0\r\n"),
        ("ma T", b"set n4 0 0 1\r\n5\r\nma n4 T30 v t\r\n",
         pattern(rb"STORED\r\nVA 1 t(30|29)\r\n6\r\n")),
        ("ma q", b"ma n4 q\r\nma n4 q v\r\nmn\r\n", b"MN\r\n"),
        ("ma k O", b"ma n4 k Oab v\r\nma nothing Oab k\r\n",
         b"VA 1 kn4 Oab\r\n9\r\nNF Oab knothing\r\n"),
        ("ma E and C", b"ma n4 E70 c\r\nma n4 C71\r\nma n4 C70 E80 v c\r\n",
         b"HD c70\r\nEX\r\nVA 2 c80\r\n11\r\n", NEW),
        ("ma wraps", b"set n5 0 0 20\r\n18446744073709551615\r\nma n5 v\r\n",
         b"STORED\r\nVA 1\r\n0\r\n"),
        ("ma of a word", b"set n6 0 0 1\r\nx\r\nma n6\r\nma n6 q\r\n", b"STORED\r\n" + NUMERIC * 2),
        ("ma wrong mode", b"ma n4 MZ\r\n", b"CLIENT_ERROR invalid mode for ma M token\r\n"),
        ("ma bad D", b"ma n4 Dabc\r\n", ARITHMETIC if not REFERENCE
         else pattern(rb"CLIENT_ERROR .*\r\n")),
        ("ma bad J", b"ma n4 Jabc\r\n", ARITHMETIC if not REFERENCE
         else pattern(rb"CLIENT_ERROR .*\r\n")),
        ("ma bad N", b"ma n4 Nabc\r\n", ARITHMETIC if not REFERENCE
         else pattern(rb"CLIENT_ERROR .*\r\n")),
        ("ma duplicate flag", b"ma n4 v v\r\n", ARITHMETIC),
        ("ma unknown flag", b"ma n4 !\r\n", ARITHMETIC),
        ("ma without a key", b"ma\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
    ])


def binary_keys(s):
    """The b flag."""
    raw = b"foo bar\r\n\x00\xff"
    b64 = base64.b64encode(raw)
    long64 = base64.b64encode(b"z" * 187)
    rows(s, [
        ("b: set and get", b"ms %s 2 b\r\nhi\r\nmg %s b v k\r\n" % (b64, b64),
         b"HD\r\nVA 2 k%s b\r\nhi\r\n" % b64),
        ("b first, k later", b"mg %s k b s\r\n" % b64,
         pattern(rb"HD k" + b64.replace(b"+", rb"\+") + rb"( b s2| s2 b)\r\n")),
        ("b on a miss", b"mg %s b k v\r\n" % base64.b64encode(b"no thing"),
         b"EN k%s b\r\n" % base64.b64encode(b"no thing"), NEW),
        ("the text form of the key is the same item",
         b"ms %s 2 b\r\nhi\r\nmg raw v\r\n" % base64.b64encode(b"raw"),
         b"HD\r\nVA 2\r\nhi\r\n"),
        ("the item remembers that its key came as base64", b"mg raw k\r\n",
         b"HD k%s b\r\n" % base64.b64encode(b"raw")),
        ("ms b k", b"ms %s 2 b k\r\nhi\r\n" % b64, pattern(rb"HD k[A-Za-z0-9+/=]+( b)?\r\n")),
        ("md b", b"md %s b\r\nmg %s b\r\n" % (b64, b64), b"HD\r\nEN\r\n"),
        ("ma b", b"ma %s b N0 J5 v\r\nma %s b v\r\n" % (b64, b64), b"VA 1\r\n5\r\nVA 1\r\n6\r\n"),
        ("not base64", b"mg a!!c b\r\n", b"CLIENT_ERROR error decoding key\r\n"),
        ("ms with a key that is not base64 swallows", b"ms a!!c 2 b\r\nmn\r\nmn\r\n",
         b"CLIENT_ERROR error decoding key\r\nMN\r\n", NEW),
        ("encoded key over 250", b"mg %s b\r\n" % long64, FORMAT),
    ])


def stale(s):
    """Win, stale and vivify flows; the order of W, X and Z."""
    rows(s, [
        ("vivify", b"mg v1 s c v N30 t\r\nmg v1 s v N30 t\r\nmg v1 v q\r\n",
         pattern(rb"VA 0 s0 c\d+ t(30|29) W\r\n\r\nVA 0 s0 t(30|29) Z\r\n\r\nVA 0 Z\r\n\r\n")),
        ("vivify answers although q", b"mg v2 N30 v q\r\nmn\r\n", b"VA 0 W\r\n\r\nMN\r\n"),
        ("vivify without v", b"mg v3 N30 k\r\nmg v3 N30 k\r\n", b"HD kv3 W\r\nHD kv3 Z\r\n"),
        ("vivify with E", b"mg v4 N30 E55 c\r\nmg v4 E66 c\r\n", b"HD c55 W\r\nHD c55 Z\r\n", NEW),
        ("vivify with a time that is over", b"mg v6 N-1 t v\r\nmg v6\r\n",
         b"VA 0 t0 W\r\n\r\nEN\r\n", OURS),
        ("set ends vivify", b"mg v1\r\nms v1 2\r\nhi\r\nmg v1 v\r\n",
         b"HD Z\r\nHD\r\nVA 2\r\nhi\r\n"),
        ("set with the token's number", b"mg v5 N30 E9 c\r\nms v5 2 C9\r\nhi\r\nmg v5 v\r\n",
         b"HD c9 W\r\nHD\r\nVA 2\r\nhi\r\n", NEW),
        ("recache wins once", b"ms r1 1 T20\r\nx\r\nmg r1 R30 v\r\nmg r1 R30 v\r\nmg r1 v\r\n",
         b"HD\r\nVA 1 W\r\nx\r\nVA 1 Z\r\nx\r\nVA 1 Z\r\nx\r\n"),
        ("R under the time left", b"ms r2 1 T100\r\nx\r\nmg r2 R30 v\r\n", b"HD\r\nVA 1\r\nx\r\n"),
        ("R and no time limit", b"ms r3 1\r\nx\r\nmg r3 R30 v\r\n", b"HD\r\nVA 1\r\nx\r\n"),
        ("touch does not return the token",
         b"ms r4 1 T20\r\nx\r\nmg r4 R30\r\ntouch r4 20\r\nmg r4 R30\r\n",
         b"HD\r\nHD W\r\nTOUCHED\r\nHD Z\r\n"),
        ("stale: first X W, later Z X",
         b"ms s1 1\r\nx\r\nmd s1 I T30\r\nmg s1 v\r\nmg s1 v\r\nmg s1 v\r\n",
         b"HD\r\nHD\r\nVA 1 X W\r\nx\r\n" + b"VA 1 Z X\r\nx\r\n" * 2, OURS),
        ("ms I with a lower C stores and marks stale",
         b"ms s2 1 E100 T30\r\na\r\nms s2 1 C99 I\r\nb\r\nmg s2 v\r\nmg s2 v t\r\n",
         pattern(rb"HD\r\nHD\r\nVA 1 X W\r\nb\r\nVA 1 t(30|29) Z X\r\nb\r\n"), NEW),
        ("ms I with a higher C", b"ms s3 1 E100\r\na\r\nms s3 1 C101 I\r\nb\r\nmg s3 v\r\n",
         b"HD\r\nEX\r\nVA 1\r\na\r\n", NEW),
        ("ms I with its C is a plain set",
         b"ms s4 1 E100\r\na\r\nms s4 1 C100 I\r\nb\r\nmg s4 v\r\n", b"HD\r\nHD\r\nVA 1\r\nb\r\n",
         NEW),
        ("a set clears stale", b"ms s5 1\r\na\r\nmd s5 I\r\nms s5 1\r\nb\r\nmg s5 v\r\n",
         b"HD\r\nHD\r\nHD\r\nVA 1\r\nb\r\n"),
        ("md I gives the token again", b"ms s6 1\r\na\r\nmd s6 I\r\nmg s6\r\nmd s6 I\r\nmg s6\r\n",
         pattern(rb"HD\r\nHD\r\nHD (X W|W X)\r\nHD\r\nHD (X W|W X)\r\n")),
        ("q with W", b"ms s7 1\r\na\r\nmd s7 I q\r\nmg s7 v q\r\n",
         pattern(rb"HD\r\nVA 1 (X W|W X)\r\na\r\n")),
    ])


def together(s):
    """Batches, me, and items shared with the classic commands."""
    n = 10000
    with s.conn() as c:
        c.set(b"k5", b"five")
        c.send(b"".join(b"mg k%d v k q\r\n" % i for i in range(n)) + b"mn\r\n")
        tap.is_(c.until(b"MN\r\n"), b"VA 4 kk5\r\nfive\r\nMN\r\n", "%d quiet mg in one write" % n)
        c.send(b"".join(b"ms k%d 3 q\r\nabc\r\n" % i for i in range(n)) + b"mn\r\n")
        tap.is_(c.until(b"MN\r\n"), b"MN\r\n", "%d quiet ms" % n)
        c.send(b"".join(b"mg k%d v\r\n" % i for i in range(n)) + b"mn\r\n")
        tap.is_(c.until(b"MN\r\n"), b"VA 3\r\nabc\r\n" * n + b"MN\r\n",
                "%d mg, all of them hits" % n)
    rows(s, [
        ("me on a miss", b"me nothing\r\n", b"EN\r\n"),
        ("me", b"set dbg 0 0 3\r\nabc\r\nme dbg\r\n",
         pattern(rb"STORED\r\nME dbg exp=-1 la=\d+ cas=\d+ fetch=no cls=\d+ size=\d+\r\n")),
        ("me b", b"me ZGJn b\r\n",
         pattern(rb"ME (dbg|ZGJn)( b)? exp=-1 la=\d+ cas=\d+ fetch=no cls=\d+ size=\d+\r\n")),
        ("me with a time", b"set dbg 0 100 3\r\nabc\r\nget dbg\r\nme dbg\r\n",
         pattern(rb"STORED\r\n.*ME dbg exp=-?\d+ la=\d+ cas=\d+ fetch=yes cls=\d+ size=\d+\r\n")),
        ("a quiet pipeline keeps its order",
         b"ms o1 1 q\r\na\r\nmg o1 v Oa\r\nmd o1 q\r\nmg o1 v q Ob\r\nget o1\r\nmn\r\n",
         b"VA 1 Oa\r\na\r\nEND\r\nMN\r\n"),
        ("unknown m command", b"mx a\r\n", b"ERROR\r\n"),
    ])


def main():
    """Every function of this file on one server."""
    program_exists()
    with Server() as s:
        for function in (gets, sets, deletes, arithmetic, binary_keys, stale, together):
            tap.guarded(function, s)
    tap.done()


main()
