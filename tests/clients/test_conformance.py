"""Some 300 raw requests, odd ones among them, are answered as Apache Kafka 4.4.0 answered them.

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
    (r"create_topics|describe_configs", r".*", r"\[\]file\.delete\.delay\.ms="): "files go at once: no reader needs them any more",
    (r"create_topics|describe_configs", r".*", r"\[\]max\.decompressed\.message\.bytes="): "a batch may not swell to 2 GiB",
    (r"create_topics|describe_configs", r".*", r"\[\]min\.insync\.replicas="): "Kafka shows a cluster-wide dynamic value that its eligible-leader feature sets",
    (r"create_topics", r".*(validate only|internal name)", r"topicId="): "Kafka draws an id that it then forgets",
    (r"describe_configs", r".*(broker logger|client metrics|group|broker default)", r""): "no loggers, subscriptions, group configs or cluster-wide values to describe",
    (r"alter_configs", r".*append to a list", r""): "compaction is not there yet",
    (r"alter_configs", r".*broker dynamic", r""): "what is set there are the log cleaner's threads: compaction is not there yet, other settings of the broker can be altered",
    (r"alter_configs", r".*old AlterConfigs", r""): "not advertised: every living client alters incrementally",
    (r"producing", r".*null records", r""): "Kafka never answers",
    (r"producing", r".*transactional without id", r"errorCode="): "transactions are not there yet",
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
        want, got = set(flat(answer)), set(flat(seen))
        for part in sorted(want ^ got):
            reason = next((key for key in DIFFERENT if re.fullmatch(key[0], scenario) and re.fullmatch(key[1], label) and re.search(key[2], part)), None)
            if reason:
                used.add(reason)
            else:
                wrong.append(f"{label}: {'Kafka' if part in want else 'Tollgate'} alone says {part}")
    assert not wrong, "\n".join(wrong)


def test_every_difference_is_still_there(ours, used, server):
    if server.gateway:
        unused = DIFFERENT.keys() - used
        assert not unused, f"take these off the list: {unused}"


def test_the_apis_that_are_there(ours):
    """Those that kcat, librdkafka and the Java clients and tools need."""
    listed = {api["apiKey"] for api in ours["api_versions"]["API_VERSIONS v4: v4"]["apiKeys"]}
    needed = {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 32, 36, 37, 42, 44, 47, 60, 75}
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
