"""The same requests in the three protocols; answers in the same words.

store() answers "stored", "not_stored", "exists", "not_found" or "refused" (no memory).  Whatever
else a server may say is wrong and raises.
"""

import packets
from shared import Wrong

REFUSED = (b"SERVER_ERROR out of memory storing object\r\n",
           b"SERVER_ERROR Out of memory during read\r\n",
           b"SERVER_ERROR out of memory\r\n",
           b"SERVER_ERROR Out of memory allocating new item\r\n")


def outcome(table, answer):
    """Looks a line up."""
    if answer in table:
        return table[answer]
    if answer in REFUSED:
        return "refused"
    if not answer:
        raise Wrong("the connection was closed")
    raise Wrong("unexpected answer %r" % answer[:200])


class Speaker:
    """What is the same in all of them."""

    def get(self, keys, exptime=None):
        """A dict of key: (value, flags, cas)."""
        return {row[0]: row[1:] for row in self.rows(keys, exptime)}


class Text(Speaker):
    """The classic protocol."""

    TABLE = {b"STORED\r\n": "stored", b"NOT_STORED\r\n": "not_stored", b"EXISTS\r\n": "exists",
             b"NOT_FOUND\r\n": "not_found"}

    def __init__(self, conn):
        self.conn = conn

    def store(self, word, key, value, flags=0, exptime=0, cas=None):
        """word is set, add, replace, append or prepend."""
        if cas is None:
            self.conn.send(b"%s %s %d %d %d\r\n%s\r\n" % (word.encode(), key, flags, exptime,
                                                        len(value), value))
        else:
            self.conn.send(b"cas %s %d %d %d %d\r\n%s\r\n" % (key, flags, exptime, len(value), cas,
                                                            value))
        return outcome(self.TABLE, self.conn.line())

    def set_many(self, rows):
        """Sets (key, value, flags) without waiting for answers but that they are all done.
        Those refused for want of memory are not told apart."""
        self.conn.send(b"".join(b"set %s %d 0 %d noreply\r\n%s\r\n" % (k, f, len(v), v)
                                for k, v, f in rows) + b"mn\r\n")
        answer = self.conn.line()
        if answer != b"MN\r\n":
            raise Wrong("noreply was answered: %r" % answer[:200])

    def rows(self, keys, exptime=None):
        """What is found: a list of (key, value, flags, cas); with exptime the keys are touched."""
        word = b"gets " if exptime is None else b"gats %d " % exptime
        self.conn.send(word + b" ".join(keys) + b"\r\n")
        found = []
        while True:
            line = self.conn.line()
            words = line.split()
            if words == [b"END"]:
                return found
            if len(words) != 5 or words[0] != b"VALUE":
                raise Wrong("answer to gets: %r" % line[:200])
            body = self.conn.exact(int(words[3]) + 2)
            if body[-2:] != b"\r\n":
                raise Wrong("a value of %r without its end" % words[1])
            found.append((words[1], body[:-2], int(words[2]), int(words[4])))

    def delete(self, key):
        """True if it was there."""
        return outcome({b"DELETED\r\n": True, b"NOT_FOUND\r\n": False},
                       self.conn.ask(b"delete " + key + b"\r\n"))

    def touch(self, key, exptime):
        """True if it was there."""
        return outcome({b"TOUCHED\r\n": True, b"NOT_FOUND\r\n": False},
                       self.conn.ask(b"touch %s %d\r\n" % (key, exptime)))

    def incr(self, key, delta):
        """The new number, None if there is none."""
        answer = self.conn.ask(b"incr %s %d\r\n" % (key, delta))
        if answer.strip().isdigit():
            return int(answer)
        return outcome({b"NOT_FOUND\r\n": None}, answer)


class Meta(Speaker):
    """mg, ms, md, ma, in quiet forms with mn where that can be."""

    TABLE = {b"HD": "stored", b"NS": "not_stored", b"EX": "exists", b"NF": "not_found"}
    MODES = {"set": b"S", "add": b"E", "replace": b"R", "append": b"A", "prepend": b"P"}

    def __init__(self, conn):
        self.conn = conn

    def head(self):
        """The first word of a line, the line itself if it is an error."""
        line = self.conn.line()
        return line[:2] if line[2:3] in (b" ", b"\r") else line

    def store(self, word, key, value, flags=0, exptime=0, cas=None):
        """See Text."""
        self.conn.send(b"ms %s %d T%d F%d M%s%s\r\n%s\r\n" % (
            key, len(value), exptime, flags, self.MODES[word],
            b"" if cas is None else b" C%d" % cas, value))
        return outcome(self.TABLE, self.head())

    def set_many(self, rows):
        """See Text."""
        self.conn.send(b"".join(b"ms %s %d F%d q\r\n%s\r\n" % (k, len(v), f, v) for k, v, f in rows)
                       + b"mn\r\n")
        while True:
            answer = self.conn.line()
            if answer == b"MN\r\n":
                return
            outcome({}, answer)

    def rows(self, keys, exptime=None):
        """See Text."""
        touch = b"" if exptime is None else b" T%d" % exptime
        self.conn.send(b"".join(b"mg %s v k f c q%s\r\n" % (k, touch) for k in keys) + b"mn\r\n")
        found = []
        while True:
            line = self.conn.line()
            words = line.split()
            if words == [b"MN"]:
                return found
            if len(words) != 5 or words[0] != b"VA":
                raise Wrong("answer to mg: %r" % line[:200])
            body = self.conn.exact(int(words[1]) + 2)
            if body[-2:] != b"\r\n":
                raise Wrong("a value of %r without its end" % words[2])
            found.append((words[2][1:], body[:-2], int(words[3][1:]), int(words[4][1:])))

    def delete(self, key):
        """See Text."""
        self.conn.send(b"md " + key + b"\r\n")
        return outcome({b"HD": True, b"NF": False}, self.head())

    def touch(self, key, exptime):
        """See Text."""
        self.conn.send(b"mg %s T%d\r\n" % (key, exptime))
        return outcome({b"HD": True, b"EN": False}, self.head())

    def incr(self, key, delta):
        """See Text."""
        self.conn.send(b"ma %s D%d v\r\n" % (key, delta))
        line = self.conn.line()
        if not line.startswith(b"VA "):
            return outcome({b"NF\r\n": None}, line)
        body = self.conn.exact(int(line[3:]) + 2)
        return int(body)


class Binary(Speaker):
    """The binary protocol."""

    def __init__(self, conn):
        self.conn = conn

    def answer(self):
        """The next packet."""
        packet = packets.read(self.conn)
        if packet is None:
            raise Wrong("the connection was closed")
        return packet

    def status(self, table):
        """The next packet's status in the words of table."""
        packet = self.answer()
        if packet.status in table:
            return table[packet.status]
        if packet.status == packets.NO_MEMORY:
            return "refused"
        raise Wrong("unexpected answer %r" % packet)

    def store(self, word, key, value, flags=0, exptime=0, cas=None):
        """See Text."""
        if word in ("append", "prepend"):
            self.conn.send(packets.packet(word, key, value))
            return self.status({packets.OK: "stored", packets.NOT_STORED: "not_stored"})
        self.conn.send(packets.store(word, key, value, flags, exptime, cas=cas or 0))
        return self.status({packets.OK: "stored", packets.EXISTS: "not_stored" if cas is None
                            else "exists", packets.MISS: "not_stored" if cas is None
                            else "not_found"})

    def set_many(self, rows):
        """See Text."""
        self.conn.send(b"".join(packets.store("setq", k, v, f) for k, v, f in rows)
                       + packets.packet("noop"))
        while True:
            packet = self.answer()
            if packet.op == packets.OPCODES["noop"]:
                return
            if packet.status != packets.NO_MEMORY:
                raise Wrong("setq was answered: %r" % packet)

    def rows(self, keys, exptime=None):
        """See Text."""
        self.conn.send(b"".join(packets.packet("getkq", k) if exptime is None
                                else packets.touch("gatkq", k, exptime) for k in keys)
                       + packets.packet("noop"))
        found = []
        while True:
            packet = self.answer()
            if packet.op == packets.OPCODES["noop"]:
                return found
            if packet.status != packets.OK or len(packet.extras) != 4:
                raise Wrong("answer to getkq: %r" % packet)
            found.append((packet.key, packet.value, int.from_bytes(packet.extras, "big"),
                          packet.cas))

    def delete(self, key):
        """See Text."""
        self.conn.send(packets.packet("delete", key))
        return self.status({packets.OK: True, packets.MISS: False})

    def touch(self, key, exptime):
        """See Text."""
        self.conn.send(packets.touch("touch", key, exptime))
        return self.status({packets.OK: True, packets.MISS: False})

    def incr(self, key, delta):
        """See Text."""
        self.conn.send(packets.count("incr", key, delta, 0, packets.NEVER))
        packet = self.answer()
        if packet.status == packets.OK:
            return int.from_bytes(packet.value, "big")
        if packet.status in (packets.MISS, packets.NO_MEMORY):
            return None if packet.status == packets.MISS else "refused"
        raise Wrong("answer to incr: %r" % packet)


SPEAKERS = (Text, Meta, Binary)
