"""More than a thousand raw requests, odd ones among them, are answered as Apache Kafka 4.4.0 answered them.

Kafka's answers are kept in compare/kafka-4.4.0.json (made by compare/compare.py record). Where Tollgate answers otherwise it
says why, below; an entry that is no longer needed fails.
"""

import json
import re
from pathlib import Path

import pytest
from compare import transcripts

# Apache Kafka has no policies: a mask makes fetches sessionless, and refuses by itself what it cannot read.
POLICIES = "none"

KAFKA = json.loads((Path(__file__).parent / "compare" / "kafka-4.4.0.json").read_text())

# Scenario, label, the part of the answer: why it differs.
DIFFERENT = {
    (r"create_topics|describe_configs|all_configs|topic_versions|config_versions", r".*", r"\[\]file\.delete\.delay\.ms="): "files go at once: no reader needs them any more",
    (r"create_topics|describe_configs|all_configs|topic_versions|config_versions", r".*", r"\[\]max\.decompressed\.message\.bytes="): "a batch may not swell to 2 GiB",
    (r"create_topics|topic_versions", r".*(validate only|internal name|only checked)", r"topicId="): "Kafka draws an id that it then forgets",
    (r"old_alter_configs", r".*same resource twice", r""): "Kafka never answers",
    (r"all_configs", r".*broker", r"\[\](listeners|advertised\.listeners|listener\.security\.protocol\.map|sasl\.enabled\.mechanisms)="): "listeners are set in Tollgate's own configuration, and named there",
    (r"all_configs", r".*broker", r"\[\]controller\.(listener\.names|quorum\.bootstrap\.servers)="): "there is no quorum to be part of",
    (r"all_configs", r".*broker", r"\[\]max\.connections(\.per\.ip)?="): "Tollgate's sessions have limits",
    (r"all_configs", r".*broker", r"\[\]group\.coordinator\.rebalance\.protocols="): "classic groups only, so far",
    (r"all_configs", r".*broker", r"\[\]log\.cleaner\.enable="): "compaction is not there yet",
    (r"all_configs", r".*broker", r"\[\]log\.segment\.delete\.delay\.ms="): "files go at once: no reader needs them any more",
    (r"all_configs", r".*broker", r"\[\]log\.retention\.check\.interval\.ms="): "Tollgate looks ten times as often",
    (r"all_configs", r".*broker", r"\[\]metric\.reporters="): "metrics are read from the admin address",
    (r"all_configs", r".*broker", r"\[\](offsets\.topic|transaction\.state\.log|share\.coordinator\.state\.topic)\.num\.partitions="): "the recorded Kafka was started with fewer",
    (r"all_configs", r".*broker", r"\[\]log\.dirs="): "each has its own folder",
    (r"alter_configs", r".*append to a list", r""): "compaction is not there yet",
    (r"producing", r".*null records", r""): "Kafka never answers",
    (r"producing", r".*transactional without id", r"errorCode="): "transactions are not there yet",
    (r"administration", r"DESCRIBE_QUORUM v2: quorum v2", r"replicaDirectoryId=|listeners"): "a quorum that cannot change (kraft.version 0) has no folder's id; there is no listener of controllers",
    (r"administration", r"REMOVE_RAFT_VOTER v0: remove a voter", r"errorCode="): "Kafka's answer of a quorum that cannot change",
    (r"cluster", r"DESCRIBE_TOPIC_PARTITIONS.*topic partitions", r"topics\[2\]\.topicAuthorizedOperations="): "Kafka says what may be done to a topic that does not exist",
}


@pytest.fixture(scope="module")
def ours(server):
    return transcripts(server.bootstrap, list(KAFKA))


@pytest.fixture(scope="module")
def used():
    return set()


@pytest.mark.parametrize("scenario", KAFKA)
def test_answers(ours, used, scenario):
    assert "the scenario broke" not in ours[scenario], ours[scenario]["the scenario broke"]
    wrong = []
    for label, answer in KAFKA[scenario].items():
        seen = ours[scenario][label]
        if scenario == "api_versions":
            answer = as_far_as_listed(answer, seen)
        # Whether a config can be altered has a list of its own, below.
        want, got = ({part.replace("read-only, ", "") for part in flat(side)} for side in (answer, seen))
        for part in sorted(want ^ got):
            reason = next((key for key in DIFFERENT if re.fullmatch(key[0], scenario) and re.fullmatch(key[1], label) and re.search(key[2], part)), None)
            if reason:
                used.add(reason)
            else:
                wrong.append(f"{label}: {'Kafka' if part in want else 'Tollgate'} alone says {part}")
    assert not wrong, "\n".join(wrong)


def test_what_cannot_be_altered(ours, server):
    """read-only.txt lists what Kafka lets one alter and Tollgate does not."""
    said = lambda side, label: {line.split("=")[0]: "read-only, " in line for line in side["all_configs"][f"DESCRIBE_CONFIGS v4: {label}"]["results"][0]["configs"]}
    found = set()
    for label in ("broker", "topic", "group", "subscription"):
        kafka, here = said(KAFKA, label), said(ours, label)
        assert kafka.keys() == here.keys()
        assert not [name for name in kafka if kafka[name] and not here[name]], "can be altered here alone"
        found |= {f"{label} {name}" for name in kafka if here[name] and not kafka[name]}
    listed = {line for line in (Path(__file__).parent / "compare" / "read-only.txt").read_text().splitlines() if line and not line.startswith("#")}
    if server.gateway:
        assert found == listed


def test_every_difference_is_still_there(ours, used, server):
    if server.gateway:
        unused = DIFFERENT.keys() - used
        assert not unused, f"take these off the list: {unused}"


def test_the_apis_that_are_there(ours):
    """Those that kcat, librdkafka and the Java clients and tools need."""
    listed = {api["apiKey"] for api in ours["api_versions"]["API_VERSIONS v4: v4"]["apiKeys"]}
    needed = {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34, 35, 36, 37, 42, 43, 44, 45, 46, 47, 48, 49, 55, 57, 60, 61, 64, 65, 66, 74, 75, 80, 81, 94}
    assert needed <= listed, needed - listed


def flat(node, path=""):
    """Each leaf with its path."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from flat(value, f"{path}.{key}")
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            yield from [f"{path}[]{value}"] if isinstance(value, str) else flat(value, f"{path}[{index}]")
    else:
        yield f"{path}={node!r}"


def as_far_as_listed(kafka, ours):
    """Tollgate lists fewer apis and features; those it lists it lists as Kafka does."""
    if not ours.get("apiKeys"):
        return kafka
    keys = {api["apiKey"] for api in ours["apiKeys"]}
    cut = dict(kafka, apiKeys=[api for api in kafka["apiKeys"] if api["apiKey"] in keys])
    for field in ("supportedFeatures", "finalizedFeatures"):
        if field in cut:
            names = {feature["name"] for feature in ours[field]}
            cut[field] = [feature for feature in kafka[field] if feature["name"] in names]
    return cut
