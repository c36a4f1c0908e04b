#!/usr/bin/env python3
"""Shows how a broker answers the scenarios, or how the answers of two brokers differ.

    compare.py show HOST:PORT [SCENARIO...]
    compare.py diff HOST:PORT HOST:PORT [SCENARIO...]     exit 1 when they differ
    compare.py record HOST:PORT [SCENARIO...]             for test_conformance.py: all, or these anew, into kafka-4.4.0.json

All want a fresh broker. What legitimately varies (ids, ports, times, member ids, the wording of messages, the order of a
hash map) is replaced by names, or sorted, first.
"""

import difflib
import json
import re
import sys
import time
from pathlib import Path

from probe import Probe
import administration  # noqa: F401 (adds scenarios)
import versions  # noqa: F401 (adds scenarios)
from scenarios import NULL_ID, SCENARIOS, STRANGE_ID


RECORDED = Path(__file__).resolve().parent / "kafka-4.4.0.json"


class Ask:
    """Sends for a scenario and keeps what was labelled."""

    def __init__(self, probe: Probe, scenario: str):
        self.probe, self.scenario, self.kept, self.names = probe, scenario, [], {}
        self.port = probe.bootstrap.rsplit(":", 1)[1]

    def __call__(self, label, api, version, body=None, only=None, send=False, alone=False, **more):
        if alone:
            more |= {"conn": f"alone {len(self.kept)}", "timeout_ms": 3000}
        if send:
            return self.probe.send(api, version, body, **more)
        answer = self.probe.call(api, version, body, **more)
        if label is not None:
            self.keep(f"{api} v{version}: {label}", answer, only)
        else:
            time.sleep(0.002)  # unlabelled calls are the polling ones
            self.learn(answer)
        return answer

    def recv(self, label, conn):
        answer = self.probe.recv(conn)
        self.keep(label, answer, None)
        return answer

    def keep(self, label, answer, only):
        self.learn(answer)
        shown = self.stable(answer.get("body", answer), only)
        self.kept.append((label, shown))

    def learn(self, node, key=None):
        """Gives ids that a broker made up a name, in order of appearance."""
        if isinstance(node, dict):
            if node.get("topicId") not in (None, NULL_ID, STRANGE_ID) and (node.get("name") or node.get("topic")):
                self.names.setdefault(node["topicId"], self.topic_id(node.get("name") or node.get("topic")))
            for k, v in node.items():
                self.learn(v, k)
        elif isinstance(node, list):
            for v in node:
                self.learn(v, key)
        elif isinstance(node, str):
            if key == "clusterId" and node:
                self.names.setdefault(node, "<cluster>")
            elif key in ("memberId", "leader") and re.search(r"[0-9a-f-]{36}$", node):
                self.names.setdefault(node, f"<{node[:-36]}member {sum('member' in name for name in self.names.values()) + 1}>")

    def topic_id(self, topic: str) -> str:
        """The first id of a topic, or the second of that name, and so on."""
        earlier = sum(name.startswith(f"<id of {topic},") for name in self.names.values())
        return f"<id of {topic}, {earlier + 1}>"

    def stable(self, node, only, key=None):
        if isinstance(node, dict):
            if "configSource" in node:
                return self.stable(config(node), None)
            failed = node.get("errorCode")
            return {k: self.stable(v, only, k) for k, v in node.items() if k != "throttleTimeMs" and not (failed and k in WORDING)}
        if isinstance(node, list):
            items = [n for n in node if only is None or not isinstance(n, dict) or n.get("name", only) == only]
            return sorted((self.stable(n, only, key) for n in items), key=identity)
        if key == "port" and str(node) == self.port:
            return "<port>"
        if key == "sessionId" and node:
            return "<session>"
        if key == "producerId" and isinstance(node, int) and 0 <= node < 900000:
            return "<producer>"
        if key == "finalizedFeaturesEpoch" and node >= 0:
            return "<epoch>"
        if key in ("highWatermark", "logEndOffset") and self.scenario == "administration":
            return "<end>"
        if key in ("lastFetchTimestamp", "lastCaughtUpTimestamp") and node > 0:
            return "<now>"
        if key == "logAppendTimeMs" and node > 0:
            return "<now>"
        if key in ("totalBytes", "usableBytes") and node > 0:
            return "<bytes>"
        if isinstance(node, str):
            node = node.replace(self.probe.bootstrap, "<address>").replace(f":{int(self.port) + 1}", ":<port + 1>")
            for made_up, name in self.names.items():
                node = node.replace(made_up, name)
        return node


# What an error is called by its code; how it is put is each broker's own.
WORDING = ("errorMessage", "recordErrors")
IDENTITY = ("name", "topic", "groupId", "key", "apiKey", "resourceName", "topicId", "index", "partitionIndex", "partition", "memberId", "baseOffset", "entityType", "entity")


def config(entry: dict) -> str:
    """A config entry on one line."""
    synonyms = ", ".join(f"{s['name']}={s['value']} by {s['source']}" for s in entry.get("synonyms") or [])
    said = ("secret, " if entry["isSensitive"] else "") + ("read-only, " if entry["readOnly"] else "")
    return f"{entry['name']}={entry['value']} by {entry['configSource']}, type {entry.get('configType')}, {said}from [{synonyms}]"


def identity(node):
    """Sorts what is a set on the wire; lists of plain values stay as they came, but for config entries."""
    return (node,) if isinstance(node, str) and " by " in node else tuple(f"{node.get(key)!s:>12}" for key in IDENTITY) if isinstance(node, dict) else ()


def transcripts(bootstrap: str, wanted: list[str] = ()) -> dict[str, dict[str, object]]:
    """Scenario, label, answer."""
    told = {}
    with Probe(bootstrap) as probe:
        for scenario in SCENARIOS:
            if wanted and scenario.__name__ not in wanted:
                continue
            ask = Ask(probe, scenario.__name__)
            try:
                scenario(ask)
            except Exception as error:  # shown beside the rest: one broken scenario must not hide the others
                ask.kept.append(("the scenario broke", f"{type(error).__name__}: {error}"))
            assert len(dict(ask.kept)) == len(ask.kept), f"a label stands twice in {scenario.__name__}"
            told[scenario.__name__] = dict(ask.kept)
            probe.close()
    return told


def lines(bootstrap: str, wanted: list[str]) -> list[str]:
    text = []
    for scenario, answers in transcripts(bootstrap, wanted).items():
        text.append(f"## {scenario}")
        for label, answer in answers.items():
            text += [f"- {label}", f"      {json.dumps(answer, ensure_ascii=False)}"]
    return text


def main(arguments: list[str]) -> int:
    if len(arguments) >= 2 and arguments[0] == "show":
        print("\n".join(lines(arguments[1], arguments[2:])))
        return 0
    if len(arguments) >= 2 and arguments[0] == "record":
        told = (json.loads(RECORDED.read_text()) if arguments[2:] else {}) | transcripts(arguments[1], arguments[2:])
        told.pop("later", None)
        told = {scenario.__name__: told[scenario.__name__] for scenario in SCENARIOS if scenario.__name__ in told}
        RECORDED.write_text("{\n" + ",\n".join(
            f'"{name}": {{\n' + ",\n".join(f"{json.dumps(label)}: {json.dumps(answer)}" for label, answer in answers.items()) + "\n}"
            for name, answers in told.items()) + "\n}\n")
        return 0
    if len(arguments) >= 3 and arguments[0] == "diff":
        sides = [lines(address, arguments[3:]) for address in arguments[1:3]]
        difference = list(difflib.unified_diff(*sides, *arguments[1:3], lineterm="", n=1))
        print("\n".join(difference))
        return 1 if difference else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
