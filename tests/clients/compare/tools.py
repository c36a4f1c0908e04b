#!/usr/bin/env python3
"""What Kafka's console tools print, of Apache Kafka 4.4.0 and of Tollgate.

    tools.py show HOST:PORT [SECTION...]      run the script, print what the tools said
    tools.py record HOST:PORT [SECTION...]    the same into tools-4.4.0.json: of Apache Kafka, fresh from `scripts/kafka start`
    tools.py accept HOST:PORT [SECTION...]    of Tollgate: write tools-differences.json anew; what has no reason yet gets "?"

A section is a function of `run`: `run(tool, *arguments)` runs one tool and keeps what it printed under its command line. Every
section has topics, users and groups of its own. To add commands: write them into a section (tools_script.py), record that section
against Apache Kafka, accept the differences against Tollgate and give each its reason; test_tools_compare.py refuses "?".

What legitimately varies (ports, ids, folders, sizes of disks, times) is replaced by names first, and lines that come out of a hash
map are sorted where the script says `unordered`.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support.jvm import Tools  # noqa: E402
from tools_script import SECTIONS  # noqa: E402

RECORDED = HERE / "tools-4.4.0.json"
DIFFERENCES = HERE / "tools-differences.json"

# A tool that names what it is to be asked in another way than --bootstrap-server.
ADDRESS_LATER = {"kafka-cluster"}


class Run:
    def __init__(self, tools: Tools, bootstrap: str, scratch: Path):
        self.tools, self.bootstrap, self.scratch = tools, bootstrap, scratch
        self.port = int(bootstrap.rsplit(":", 1)[1])
        self.kept: dict[str, dict] = {}
        self.files: dict[str, str] = {}

    def __call__(self, tool: str, *arguments: str, stdin="", unordered=False, keep=True, until=None, address="--bootstrap-server"):
        """Keeps exit code, output and errors. `until` is a text to wait for: some changes take effect a little later. `address`: the
        option that names the broker, None for a tool that is given it by the script."""
        words = list(arguments)
        if tool in ADDRESS_LATER:
            words += [address, self.bootstrap]
        elif address:
            words = [address, self.bootstrap, *words]
        deadline = time.monotonic() + 15
        while True:
            ran = self.tools.run(tool, *words, stdin=stdin)
            if until is None or until in ran.out or time.monotonic() > deadline:
                break
        if keep:
            command = self.stable(" ".join([tool, *arguments]))
            assert command not in self.kept, f"run twice in a section: {command}"
            lines = [self.stable(line) for line in told(ran.out + ran.err)]
            self.kept[command] = {"exit": ran.code, "lines": sorted(lines) if unordered else lines}
        return ran

    def file(self, name: str, content) -> str:
        """A file for a tool to read."""
        path = self.scratch / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        self.files[str(path)] = name
        return str(path)

    def stable(self, line: str) -> str:
        for path, name in self.files.items():
            line = line.replace(path, name)
        line = line.replace(self.bootstrap, "<address>")
        line = re.sub(rf"\b{self.port + 1}\b", "<port + 1>", re.sub(rf"\b{self.port}\b", "<port>", line))
        for pattern, name in VARIES:
            line = re.sub(pattern, name, line)
        return line.rstrip()


# Stack traces: what the tools tell people stands before. So is what the program that runs them throws to end one of them.
NOISE = re.compile(r"^null$|^Tools\$Left$|^\s+at |^\s*\.\.\. \d+ (more|common)")
# Lines of the log, and the exceptions that stand behind one.
LOGGED, BEHIND = re.compile(r"^\d\d:\d\d:\d\d"), re.compile(r"^(Caused by: )?[\w.$]+(Exception|Error)\b")


def told(text: str):
    """What a tool said, without its log."""
    in_log = False
    for line in text.splitlines():
        in_log = bool(LOGGED.search(line)) or (in_log and bool(NOISE.search(line) or BEHIND.search(line)))
        if not in_log and not NOISE.search(line):
            yield line

VARIES = [
    (r"(\w+://127\.0\.0\.1):\d{4,5}\b", r"\1:<another port>"),
    (r"(TopicId: )[\w-]{22}", r"\1<id>"),
    (r"(Cluster ID: )\S+", r"\1<id>"),
    (r'("(?:totalBytes|usableBytes)":)\d+', r"\1<bytes>"),
    (r"(log\.dirs?|metadata\.log\.dir)=(?!null)(?!/tmp/kafka-logs)/[^ ,}']+", r"\1=<folder>"),
    (r'("logDir":)"[^"]+"', r'\1"<folder>"'),
    (r"log directory /\S+", "log directory <folder>"),
    (r"/tmp/\S*?/(logs|data)\b", "<folder>"),
    (r"(ClusterId: +)\S+", r"\1<id>"),
    (r'("endpoints": \[")\w+://[^"]+', r"\1<listener>"),
    (r"(HighWatermark: +)\d+", r"\1<end>"),
    (r"(FinalizedVersionLevel.* Epoch: )\d+", r"\1<epoch>"),
    (r"^(\d+ +\t)[\w-]{22}\t\d+ *\t", r"\1<folder's id>\t<end>\t"),
    (r'("directoryId": ")[\w-]{22}"', r'\1<id>"'),
    (r"\b1[5-9]\d{11}\b", "<ms>"),
    (r"^\d+ *(\t\d+ *\t-1 *\t\d+ *\t<ms>)", r"<producer>\1"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+|,\d+)?Z?", "<time>"),
    (r"([\w.-]+-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"\1<uuid>"),
]


def run_all(bootstrap: str, wanted=()) -> dict[str, dict]:
    kept = {}
    with tempfile.TemporaryDirectory() as scratch:
        tools = Tools(Path(scratch) / "tools.log")
        try:
            for section in SECTIONS:
                if wanted and section.__name__ not in wanted:
                    continue
                run = Run(tools, bootstrap, Path(scratch))
                section(run)
                kept[section.__name__] = run.kept
        finally:
            tools.close()
    return kept


def differences(recorded: dict, ran: dict) -> dict[tuple[str, str, str], list[str]]:
    """(section, command, whose) -> the lines that only this side printed."""
    found = {}
    for section, commands in ran.items():
        assert list(commands) == list(recorded.get(section, {})), f"record section {section} of Apache Kafka again: its commands changed"
        for command, ours in commands.items():
            sides = [[f"exit code {side['exit']}", *side["lines"]] for side in (recorded[section][command], ours)]
            for whose, here, there in (("kafka", *sides), ("tollgate", *sides[::-1])):
                rest = list(there)
                alone = []
                for line in here:
                    if line in rest:
                        rest.remove(line)
                    else:
                        alone.append(line)
                if alone:
                    found[section, command, whose] = alone
    return found


def known() -> list[dict]:
    """[{reason, section, command, kafka: [line], tollgate: [line]}]"""
    return json.loads(DIFFERENCES.read_text()) if DIFFERENCES.exists() else []


def as_found(listed: list[dict]) -> dict[tuple[str, str, str], list[str]]:
    found = {}
    for entry in listed:
        for whose in ("kafka", "tollgate"):
            if entry.get(whose):
                found.setdefault((entry["section"], entry["command"], whose), []).extend(entry[whose])
    return found


def accept(found: dict, sections) -> list[dict]:
    """The list anew; a line keeps the reason that it, or another line about the same thing, had."""
    subject = lambda line: re.split(r"[=:\s]", line.strip())[0]
    reasons = {}
    for entry in known():
        for whose in ("kafka", "tollgate"):
            for line in entry.get(whose, ()):
                reasons.setdefault((entry["section"], entry["command"], line), entry["reason"])
                reasons.setdefault((entry["section"], subject(line)), entry["reason"])
    entries: dict[tuple, dict] = {}
    for (section, command, whose), lines in found.items():
        for line in lines:
            reason = reasons.get((section, command, line)) or reasons.get((section, subject(line))) or "?"
            entry = entries.setdefault((section, command, reason), {"reason": reason, "section": section, "command": command})
            entry.setdefault(whose, []).append(line)
    order = [section.__name__ for section in SECTIONS]
    everything = [entry for entry in known() if entry["section"] not in sections] + list(entries.values())
    return sorted(everything, key=lambda entry: order.index(entry["section"]))


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in ("show", "record", "accept"):
        print(__doc__, file=sys.stderr)
        return 2
    what, bootstrap, *wanted = arguments
    ran = run_all(bootstrap, wanted)
    if what == "show":
        for section, commands in ran.items():
            print(f"## {section}")
            for command, answer in commands.items():
                print(f"$ {command}   [{answer['exit']}]", *answer["lines"], sep="\n    ")
    elif what == "record":
        recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
        recorded |= ran
        order = [section.__name__ for section in SECTIONS]
        recorded = {section: recorded[section] for section in order if section in recorded}
        RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    else:
        found = differences(json.loads(RECORDED.read_text()), ran)
        DIFFERENCES.write_text(json.dumps(accept(found, ran), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
