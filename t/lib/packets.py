"""The binary protocol's packets: builds requests, takes answers apart."""

import struct

OPCODES = {name: code for code, name in enumerate((
    "get set add replace delete incr decr quit flush getq noop version getk getkq append prepend "
    "stat setq addq replaceq deleteq incrq decrq quitq flushq appendq prependq verbosity touch gat "
    "gatq").split())}
OPCODES.update(sasl_list=0x20, sasl_auth=0x21, sasl_step=0x22, gatk=0x23, gatkq=0x24)

OK, MISS, EXISTS, TOO_LARGE, INVALID, NOT_STORED, NON_NUMERIC = range(7)
AUTH, UNKNOWN, NO_MEMORY = 0x20, 0x81, 0x82
NEVER = 0xffffffff  # expiry of incr: do not create

TEXTS = {MISS: b"Not found", EXISTS: b"Data exists for key.", TOO_LARGE: b"Too large.",
         INVALID: b"Invalid arguments", NOT_STORED: b"Not stored.",
         NON_NUMERIC: b"Non-numeric server-side value for incr or decr", AUTH: b"Auth failure.",
         UNKNOWN: b"Unknown command", NO_MEMORY: b"Out of memory"}


def packet(op, key=b"", value=b"", extras=b"", opaque=0, cas=0, magic=0x80, bodylen=None):
    """A request; op is a name or a number."""
    code = OPCODES[op] if isinstance(op, str) else op
    if bodylen is None:
        bodylen = len(extras) + len(key) + len(value)
    return struct.pack(">BBHBBHIIQ", magic, code, len(key), len(extras), 0, 0, bodylen, opaque,
                       cas) + extras + key + value


def store(op, key, value, flags=0, expiry=0, **more):
    """set, add, replace and their quiet forms."""
    return packet(op, key, value, struct.pack(">II", flags, expiry), **more)


def count(op, key, delta=1, initial=0, expiry=0, **more):
    """incr, decr and their quiet forms."""
    return packet(op, key, b"", struct.pack(">QQI", delta, initial, expiry), **more)


def touch(op, key, expiry, **more):
    """touch, gat, gatk and their quiet forms."""
    return packet(op, key, b"", struct.pack(">I", expiry), **more)


class Answer:
    """One response packet."""

    def __init__(self, head, body):
        (self.magic, self.op, keylen, extlen, self.datatype, self.status, bodylen, self.opaque,
         self.cas) = struct.unpack(">BBHBBHIIQ", head)
        self.bodylen = bodylen
        self.extras = body[:extlen]
        self.key = body[extlen:extlen + keylen]
        self.value = body[extlen + keylen:]

    def __repr__(self):
        return "op %02x status %02x opaque %x cas %d extras %r key %r value %r" % (
            self.op, self.status, self.opaque, self.cas, self.extras, self.key, self.value[:80])


def answers(data):
    """All packets in data; a last one that is cut off raises."""
    found = []
    while data:
        if len(data) < 24:
            raise ValueError("half a header: %r" % data)
        size = struct.unpack(">I", data[8:12])[0]
        if len(data) < 24 + size:
            raise ValueError("half a body: %r" % data[:200])
        found.append(Answer(data[:24], data[24:24 + size]))
        data = data[24 + size:]
    return found


def read(conn):
    """The next packet from a Conn; None if it closed."""
    head = conn.exact(24)
    if len(head) < 24:
        return None
    size = struct.unpack(">I", head[8:12])[0]
    return Answer(head, conn.exact(size))
