"""Some 300 raw requests, odd ones among them, are answered as Apache Kafka 4.4.0 answered them.

Kafka's answers are kept in compare/kafka-4.4.0.json (made by compare/compare.py record). Where Tollgate answers otherwise it
says why, below; an entry that is no longer true fails.
"""

import json
from pathlib import Path

import pytest
from compare import transcripts

KAFKA = json.loads((Path(__file__).parent / "compare" / "kafka-4.4.0.json").read_text())

# Label, or scenario: why the answer may differ.
DIFFERENT: dict[str, dict[str, str]] = {}


@pytest.fixture(scope="module")
def ours(server):
    return transcripts(server.bootstrap, list(KAFKA))


@pytest.mark.parametrize("scenario", KAFKA)
def test_answers(ours, scenario):
    want, got = KAFKA[scenario], ours[scenario]
    known = DIFFERENT.get(scenario, {})
    wrong = []
    for label, answer in want.items():
        seen = got.get(label, "not asked: " + str(got.get("the scenario broke")))
        if scenario == "api_versions":
            answer, seen = features_known(answer, seen)
        if (seen != answer) != (label in known):
            text = "no longer differs" if label in known else f"\n    Kafka:    {json.dumps(answer)}\n    Tollgate: {json.dumps(seen)}"
            wrong.append(f"{label}: {text}")
    assert not wrong, "\n".join(wrong)


def features_known(kafka, ours):
    """Tollgate lists fewer apis and features; those it lists it lists as Kafka does."""
    if not isinstance(ours, dict) or not ours.get("apiKeys"):
        return kafka, ours
    keys = {api["apiKey"] for api in ours["apiKeys"]}
    cut = dict(kafka, apiKeys=[api for api in kafka["apiKeys"] if api["apiKey"] in keys])
    for field in ("supportedFeatures", "finalizedFeatures"):
        if field in cut:
            names = {feature["name"] for feature in ours[field]}
            cut[field] = [feature for feature in kafka[field] if feature["name"] in names]
    return cut, ours


def test_the_apis_that_are_there(ours):
    """Those that kcat, librdkafka and the Java clients and tools need."""
    listed = {api["apiKey"] for api in ours["api_versions"]["API_VERSIONS v4: v4"]["apiKeys"]}
    needed = {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 32, 36, 37, 42, 44, 47, 60, 75}
    assert needed <= listed, needed - listed
