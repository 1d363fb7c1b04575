"""What else must be true of a step, or of a case that ran in one go, for an entry of the list."""

import base64
import re
import struct


def line_of(step):
    """A text request's line, without its end."""
    return (step.tail + step.request).split(b"\n")[0].removesuffix(b"\r")


def words(step):
    """The line's words."""
    return [word for word in line_of(step).split(b" ") if word]


def flags(step):
    """The letters of a meta request's flags."""
    found = words(step)
    return {word[:1] for word in found[3 if found[0] == b"ms" else 2:]}


STORAGE = rb"(?:set|add|replace|append|prepend|cas) [^\n]*\n.*"
BAD = rb"CLIENT_ERROR bad command line format\r\n"
FEWEST = {b"get": 2, b"gets": 2, b"gat": 3, b"gats": 3, b"set": 5, b"add": 5, b"replace": 5,
          b"append": 5, b"prepend": 5, b"cas": 6, b"incr": 3, b"decr": 3, b"touch": 3, b"delete": 2,
          b"mg": 2, b"ms": 3, b"md": 2, b"ma": 2, b"me": 2, b"verbosity": 2, b"cache_memlimit": 2}
MOST = {b"set": 6, b"add": 6, b"replace": 6, b"append": 6, b"prepend": 6, b"cas": 7, b"incr": 4,
        b"decr": 4, b"touch": 4, b"delete": 4, b"flush_all": 3, b"verbosity": 3, b"me": 3,
        b"version": 1, b"quit": 1, b"mn": 1, b"shutdown": 2, b"cache_memlimit": 3}


def too_few(step):
    """Fewer words than the command needs."""
    found = words(step)
    return bool(found) and len(found) < FEWEST.get(found[0], 0) and not bad_line(found)


def too_many(step):
    """More words than 1.6.18 takes."""
    found = words(step)
    return bool(found) and len(found) > MOST.get(found[0], 1000)


TIME_AT = {b"set": 3, b"add": 3, b"replace": 3, b"append": 3, b"prepend": 3, b"cas": 3,
           b"touch": 2, b"gat": 1, b"gats": 1, b"flush_all": 1}  # word of the time


def _is_wide(number):
    m = re.fullmatch(rb"[-+]?\d{10,}", number)
    return m is not None and not -2**31 <= int(number) < 2**31


def _wide_line(found):
    """True for the words of a line with a time of more than 32 bits."""
    if found[:1] and found[0] in (b"ms", b"mg", b"ma", b"md"):
        return any(word[:1] in b"TNR" and _is_wide(word[1:]) for word in found[2:])
    at = TIME_AT.get(found[0], 0) if found else 0
    return 0 < at < len(found) and _is_wide(found[at])


def _split(text):
    """The words of each line."""
    return [[w for w in line.removesuffix(b"\r").split(b" ") if w] for line in text.split(b"\n")]


def _keys(found):
    """What may be keys in the words of a line, without base64."""
    keys = set(found[1:])
    for word in found[1:2] if b"b" in found[2:] else ():
        try:
            keys.add(base64.b64decode(word + b"==="))
        except ValueError:
            pass
    return keys


def names(step):
    """What may be keys in a request."""
    if step.binary:
        front = 24 + step.request[4] if len(step.request) > 4 else 0
        return {step.request[front:front + int.from_bytes(step.request[2:4], "big")]}
    return set().union(*map(_keys, _split(step.tail + step.request)))


def wide_time(step):
    """A time of more than 32 bits, now or earlier in the case for one of the keys, or for all."""
    if not step.binary and any(map(_wide_line, _split(step.tail + step.request))):
        return True
    wide = [found for found in _split(step.past) if _wide_line(found)]
    return any(found[0] == b"flush_all" or _keys(found) & names(step) for found in wide)


def wide_flags(step):
    """Client flags of more than 32 bits."""
    found = words(step)
    given = found[2:3]
    if found[0] == b"ms":
        given = [word[1:] for word in found[2:] if word[:1] == b"F"]
    return any(re.fullmatch(rb"\+?\d{10,}", word) and int(word) >= 2**32 for word in given)


def counter(step):
    """Our value of the key that is to be counted, or None."""
    found = words(step)
    if step.binary:
        front = 24 + step.request[4]
        key = step.request[front:front + int.from_bytes(step.request[2:4], "big")]
        plain = not any(byte <= 0x20 for byte in key)
        return step.peek(key if plain else base64.b64encode(key), not plain)
    if len(found) < 2:
        return None
    return step.peek(found[1], found[0] == b"ma" and b"b" in flags(step))


def open_counter(step):
    """A counter whose value has nothing but blanks, or ends with 20 digits and more, or is what
    has become of such a one: it was looked at behind the step."""
    value = counter(step)
    return value is not None and re.fullmatch(
        rb"\s*|.*\d{20,}\s*|(?=.{20})\d+ +", value, re.S) is not None


def _number(word, low, high):
    return re.fullmatch(rb"[-+]?\d+", word) is not None and low <= int(word) <= high


def bad_storage(step):
    """A storage line with something wrong, whose length can be read."""
    found = words(step)
    if found[0] == b"ms" and len(found) > 2 and len(found[1]) <= 250:
        return _number(found[2], 0, 2**31 - 3) and step.answer()[1].startswith(b"CLIENT_ERROR")
    return bad_line(found)


def bad_line(found):
    """True for the words of a storage line with something wrong, whose length can be read."""
    at = 2 if found[0] == b"ms" else 4
    if len(found) <= at or not _number(found[at], 0, 2**31 - 3):
        return False
    if len(found[1]) > 250:
        return True
    if at == 2:
        return False
    return not (_number(found[2], 0, 2**32 - 1) and _number(found[3], -2**63, 2**63 - 1)
                and (found[0] != b"cas" or len(found) > 5 and
                     (found[5].startswith(b"<") or _number(found[5], 0, 2**64 - 1))))


def body_beyond_header(step):
    """An unknown opcode with a body."""
    return struct.unpack(">I", step.request[8:12])[0] > 0


def bad_storage_before(step):
    """The last line before was a bad storage line, and its data does not end with a line."""
    line = re.findall(rb"(?:^|\n)((?:set|add|replace|append|prepend|cas|ms) [^\n]*)", step.before)
    return bool(line and step.tail) and bad_line(line[-1].removesuffix(b"\r").split())


def lacks_data(step):
    """The data of a storage line is not all there."""
    found = words(step)
    at = 2 if found[0] == b"ms" else 4
    return len(found) > at and _number(found[at], 0, 2**31 - 3) and \
        len(step.request.partition(b"\n")[2]) < int(found[at]) + 2


def body_length(step):
    return int.from_bytes(step.request[8:12], "big") if len(step.request) >= 24 else 0


def lacks_key(step):
    """Extras and key are not all there."""
    sent = len(step.request)
    return sent >= 24 and sent < 24 + step.request[4] + int.from_bytes(step.request[2:4], "big")


def misaligned(step):
    """The next packet does not begin with a packet's first byte; all else is equal."""
    theirs, ours = step.answer()
    sent = step.before + step.request
    while len(sent) >= 24 and sent[0] == 0x80:
        sent = sent[24 + int.from_bytes(sent[8:12], "big"):]
    return sent[:1] not in (b"", b"\x80") and theirs + b"(closed)" == ours


def short_body(step):
    """A packet whose body is shorter than its key and extras."""
    if len(step.request) < 24:
        return False
    _, _, key, extras, _, _, body = struct.unpack(">BBHBBHI", step.request[:12])
    return body < key + extras


def closes(step):
    """All that was answered before the end is lost: theirs begins like ours, and is shorter."""
    return _cut_off(*step.answer())


def _cut_off(theirs, ours):
    end = b"(closed)"
    return (theirs.endswith(end) and ours.endswith(end) and len(theirs) < len(ours)
            and ours.startswith(theirs[:-len(end)]))


FLUSH = re.compile(rb"flush_all|\x80[\x08\x18]\x00\x00")
DELAYED = re.compile(rb"flush_all +\+?0*[1-9<]|\x80[\x08\x18]\x00\x00\x04.{19}(?!\x00{4})", re.S)


def flushed_otherwise(step):
    """There was a delayed flush, and one side takes an item for flushed that the other does not."""
    past = step.past + step.request
    return DELAYED.search(past) is not None and (
        "get_flushed" in step.their_counts or step.reclaimed > 0)


def reclaimed(step):
    """memcached has used up items that were over, so it does not meet them any more."""
    return step.reclaimed > 0 and all(
        step.their_counts[name] <= step.our_counts[name]
        for name in ("get_expired", "get_flushed") if name in step.their_counts)


def _sent(case):
    return b"".join(r for s in case if s[0] == "talk" for r in s[2])


def cut_off_together(run, _):
    """Answers are lost on a connection that was closed; fewer if their request came in two.

    A long line that is cut closes the connection, and one that is whole does not.
    """
    if run.step.theirs and all(
            _cut_off(b"".join(run.step.theirs[name]), b"".join(run.step.ours[name]))
            for name in run.step.theirs):
        return True
    if all(_until_closed(run.said[side][name], run.alone[side].get(name, []))
           for name in run.step.theirs for side in (0, 1)):
        return True
    if not run.ours_same():
        return False
    other = [n for n, said in run.said[0].items() if said != run.alone[0].get(n)]
    return bool(other) and all(side[0].get(name, [])[-1:] == [b"(closed)"]
                               for name in other for side in (run.said, run.alone))


def _until_closed(said, alone):
    """The connection was closed, and all that was said before is as it was with cuts elsewhere."""
    whole = [answer for answer in said[:-1] if not answer.startswith(b"(begun) ")]
    return said[-1:] == [b"(closed)"] and alone[:len(whole)] == whole


def withdrawn_together(run, case):
    """A get with a bad key has taken answers to earlier requests away with its own."""
    return bool(run.theirs_lost()) and \
        re.search(rb"\b(?:gets?|gats?) [^\n]*[^ \n]{251}", _sent(case)) is not None


def held_back_together(run, case):
    """The last answers are not there yet, since a value is being waited for."""
    lost = run.theirs_lost()
    return bool(lost) and all(
        run.alone[0][name][:len(run.said[0][name])] == run.said[0][name] for name in lost) and \
        re.search(rb"\b(?:set|add|replace|append|prepend|cas|ms) |"
                  rb"\x80[\1\2\3\x0e\x0f\x11\x12\x13\x19\x1a\x21\x22]", _sent(case)) is not None


def held_together(run, case):
    """A counter was changed in the same go as it was read."""
    if not any(_reads_then_counts(s[2]) for s in case if s[0] == "talk"):
        return False
    if any(re.search(rb"\b(?:gets?|gats?|mg|ma) .*\bma [^\n]* T", b"".join(s[2]), re.S)
           for s in case if s[0] == "talk"):
        return True  # T reached the item that was held and not the new one
    if run.their_counts() - {"total_items", "curr_items", "get_expired", "get_flushed"}:
        return False
    return all(_unpadded(answers) == _unpadded(run.alone[0].get(name, [])[:len(answers)])
               for name, answers in run.said[0].items())


def _reads_then_counts(requests):
    sent = b"".join(requests)
    return re.search(rb"(?:gets?|gats?|mg|ma) .*(?:incr|decr|ma) ", sent, re.S) is not None or \
        re.search(rb"\x80[\x00\x09\x0c\x0d\x1c\x1d\x1e\x23\x24].*\x80[\x05\x06\x15\x16]", sent,
                  re.S) is not None


def _unpadded(answers):
    """Without the blanks behind numbers and what else a new item instead of an old one changes."""
    text = re.sub(rb"(VALUE \S+ \d+|VA) \d+", rb"\1", b"".join(answers))
    text = re.sub(rb" t-?\d+| [WXZ](?=[ \r])| s\d+| h\d| l\d+", b"", text)
    text = re.sub(rb" k\S+(?: b)?|(?<=ME) .+?(?= exp=)", b"", text)
    text = re.sub(rb" (?:fetch|la|exp|cls|size)=[-\w]+", b"", text)
    return text.replace(b" ", b"")


BLANKS = re.compile(rb" 2(?: [^\n]*)?\r?\n\r\n\r\n|"
                    rb"\x80[\1\2\3\x11\x12\x13].{22,}\r\n(?:\x80|$)", re.S)
COUNTS = re.compile(rb"\b(?:incr|decr|ma) |\x80[\5\6\x15\x16]")


def blank_together(_, case):
    """Blanks or long numbers were stored and counted: what memcached makes of them is chance."""
    sent = _sent(case)
    return COUNTS.search(sent) is not None and (
        BLANKS.search(sent) is not None or re.search(rb"\d{20}|\xff{8}", sent) is not None)


def time_lost(step):
    """The key was counted by an ma with T earlier."""
    counted = [found for found in _split(step.past)
               if found[:1] == [b"ma"] and any(word[:1] == b"T" for word in found[2:])]
    return any(_keys(found) & names(step) for found in counted)
