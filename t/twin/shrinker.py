"""Makes a case that differs as short as it can be while it still does.

Takes away steps, requests, cuts, words and bytes, larger parts first, until nothing more can go.
The order is fixed and nothing is random: the same case ends the same way.
"""

import cases


def size(case):
    """What is to become small."""
    return sum(len(step[3]) + sum(len(r) + 2 for r in step[2]) + 5 if step[0] == "talk" else 5
               for step in case)


def _without(items, begin, count):
    return items[:begin] + items[begin + count:]


def _spans(length):
    """Halves, quarters ... of a list, for taking away."""
    count = length
    while count > 0:
        for begin in range(0, length, count):
            yield begin, count
        count //= 2


def _steps(case):
    for begin, count in _spans(len(case)):
        yield _without(case, begin, count)


def _talks(case):
    return ((i, step) for i, step in enumerate(case) if step[0] == "talk")


def _put(case, i, step):
    return case[:i] + [step] + case[i + 1:]


def _requests(case):
    for i, (_, name, requests, cuts) in _talks(case):
        if cuts:
            yield _put(case, i, ("talk", name, requests, []))
        for begin, count in _spans(len(requests)):
            left = _without(requests, begin, count)
            if left:
                yield _put(case, i, ("talk", name, left, cuts))
        for at in range(len(cuts)):
            yield _put(case, i, ("talk", name, requests, _without(cuts, at, 1)))


def _names(case):
    """All on one connection, where the protocol is the same."""
    for i, (_, name, requests, cuts) in _talks(case):
        if name[1:] != "1":
            yield _put(case, i, ("talk", name[0] + "1", requests, cuts))


def _each_request(case, change):
    for i, (_, name, requests, cuts) in _talks(case):
        for j, request in enumerate(requests):
            for less in change(request, cases.is_binary(name)):
                yield _put(case, i, ("talk", name, requests[:j] + [less] + requests[j + 1:], cuts))


def _words(request, binary):
    """Without some of a line's words, or with shorter data that the line announces rightly."""
    if binary:
        return
    line, newline, data = request.partition(b"\n")
    words = line.rstrip(b"\r").split(b" ")
    end = (b"\r" if line.endswith(b"\r") else b"") + newline
    for begin, count in _spans(len(words)):
        if begin > 0 or count < len(words):
            yield b" ".join(_without(words, begin, count)) + end + data
    body = data[:-2]
    size_at = {b"ms": 2}.get(words[0], 4)
    if len(body) > 1 and len(words) > size_at and words[size_at] == b"%d" % len(body):
        for n in (0, 1, len(body) // 2, len(body) - 1):
            less = words[:size_at] + [b"%d" % n] + words[size_at + 1:]
            yield b" ".join(less) + end + body[:n] + data[-2:]


def _values(request, binary):
    """A packet with less of a value, its lengths right."""
    if not binary or len(request) < 24 or request[0] != 0x80:
        return
    front = 24 + request[4] + int.from_bytes(request[2:4], "big")
    length = int.from_bytes(request[8:12], "big")
    value = request[front:]
    if len(value) > 0 and length == len(request) - 24:
        for n in (0, 1, len(value) // 2, len(value) - 1):
            if n < len(value):
                yield request[:8] + (front - 24 + n).to_bytes(4, "big") + request[12:front] + \
                    value[:n]


def _bytes(request, binary):
    """Without some bytes; packets are left alone, their parts would mean other things."""
    if binary:
        return
    for begin, count in _spans(len(request)):
        if count < len(request) and (count > 8 or len(request) < 400):
            yield _without(request, begin, count)


def _less(case):
    yield from _steps(case)
    yield from _requests(case)
    yield from _names(case)
    for change in (_words, _values, _bytes):
        yield from _each_request(case, change)


def shrink(case, differs, tries=3000, large=64 << 20):
    """The shortest case found for which differs(case) is true.  large: bytes to send at most."""
    again = True
    while again and tries > 0 and large > 0:
        again = False
        for less in _less(case):
            if not less or (size(less), less) >= (size(case), case):
                continue
            tries -= 1
            large -= size(less)
            if differs(less):
                case, again = less, True
                break
            if tries <= 0 or large <= 0:
                break
    return case
