"""Tables of bad inputs (tests/vectors/bad_*.txt) as test data, and the watch that is kept over a manager that gets them.

A table has one input per line, its columns separated by tabs; `## ` begins a section, `# ` a remark. In a column that
holds bytes `\\r \\n \\t \\0 \\\\` and `\\xNN` are escapes, a pilcrow is CR LF, `<<text*100>>` is the text a hundred times, and
`<<len>>` the number of bytes behind the empty line.
"""
import gc
import json
import os
import re

from waiting import wait_for

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "vectors")
# Freed memory would otherwise be kept back, up to 256 MiB of it, and hide what leaks.
ENVIRONMENT = {"ASAN_OPTIONS": "quarantine_size_mb=1"}
ROUNDS = 20
GROWTH_MAX = 8 << 20  # bytes over all rounds: some thousand inputs, so a leak of one or two KiB per input shows
SENTENCE_MIN = 10
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
REPEAT = re.compile(r"<<((?:(?!>>).)+?)\*(\d+)>>")


class Line:
    """One input; prints as what a reader looks for in the table."""

    def __init__(self, table, number, columns):
        self.table, self.number, self.columns = table, number, columns

    def __repr__(self):
        return f"{self.table}:{self.number} {' | '.join(self.columns)[:160]}"


def read_table(name, columns):
    """{section: [Line]}, in the table's order; lines before the first section are under ""."""
    sections, section = {}, ""
    with open(os.path.join(VECTORS, name), encoding="utf-8", newline="\n") as table:
        for number, text in enumerate(table, 1):
            text = text.rstrip("\n")
            if text.startswith("## "):
                section = text[3:]
            elif text and not text.startswith("#"):
                parts = text.split("\t", columns - 1)
                assert len(parts) == columns, f"{name}:{number} has {len(parts)} columns of {columns}"
                sections.setdefault(section, []).append(Line(name, number, parts))
    return sections


def repeated(text):
    return REPEAT.sub(lambda match: match[1] * int(match[2]), text)


def unescaped(text):
    """The bytes that a column stands for."""
    named = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    text = repeated(text)
    data, at = b"", 0
    for escape in ESCAPE.finditer(text):
        data += text[at:escape.start()].replace("¶", "\r\n").encode()
        data += bytes([int(escape[1][1:], 16)]) if len(escape[1]) == 3 else named[escape[1]]
        at = escape.end()
    data += text[at:].replace("¶", "\r\n").encode()
    return data.replace(b"<<len>>", str(len(data.partition(b"\r\n\r\n")[2])).encode())


def sentence_of(text):
    """The one sentence of an error, which must have the one shape."""
    error = json.loads(text)
    assert error["status"] == "error" and set(error) == {"status", "error"}, error
    assert len(error["error"]) >= SENTENCE_MIN and "\n" not in error["error"], error
    return error["error"]


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident(process):
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """What must be as before when bad inputs have been answered."""

    def __init__(self, manager):
        self.manager = manager
        self.rows, self.descriptors = manager.rows(), descriptors(manager)

    def check(self):
        manager = self.manager
        assert manager.running(), f"the manager ended with {manager.popen.returncode}"
        assert manager.get("/livez").status_code == 200
        assert manager.rows() == self.rows, "bad inputs changed what is known of workers"
        gc.collect()  # sockets of answers that a failed comparison still refers to
        wait_for("its descriptors are back", lambda: descriptors(manager) <= self.descriptors)

    def check_memory(self, play):
        """That its memory stays when the inputs come again and again."""
        for _ in range(3):
            play()
        self.check()
        before = resident(self.manager)
        for _ in range(ROUNDS):
            play()
        self.check()
        grown = resident(self.manager) - before
        print(f"{ROUNDS} rounds: resident memory grew by {grown / 1024:.0f} KiB to {resident(self.manager) >> 20} MiB")
        assert grown < GROWTH_MAX


def failures_of(lines, judge):
    """Judges every line, and only then fails, with all that were not answered as the table says."""
    faults = []
    for line in lines:
        try:
            judge(line)
        except (AssertionError, KeyError, ValueError, OSError) as fault:
            faults.append(f"{line}: {type(fault).__name__} {fault}")
    assert not faults, f"{len(faults)} of {len(lines)} inputs:\n" + "\n".join(faults)
