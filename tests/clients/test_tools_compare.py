"""Kafka's console tools print of Tollgate what they print of Apache Kafka 4.4.0 (compare/tools-4.4.0.json), but for what
compare/tools-differences.json lists, each with its reason. A difference that is new fails, and so does one that is gone."""

import json

import pytest
import tools as compared

KAFKA = json.loads(compared.RECORDED.read_text())
POLICIES = "none"


@pytest.fixture(scope="module")
def found(server):
    return compared.differences(KAFKA, compared.run_all(server.bootstrap))


def test_every_difference_has_a_reason():
    assert not [entry for entry in compared.known() if entry["reason"] in ("", "?")]


@pytest.mark.parametrize("section", [section.__name__ for section in compared.SECTIONS])
def test_tools_print_what_they_print_of_kafka(found, section, server):
    listed = compared.as_found(compared.known()) if server.gateway else {}
    wrong = []
    for key in sorted({key for key in (*found, *listed) if key[0] == section}):
        _, command, whose = key
        for line in sorted(set(found.get(key, ())) ^ set(listed.get(key, ()))):
            what = "alone prints" if line in found.get(key, ()) else "is listed to print alone, and does not:"
            wrong.append(f"{command}\n  {whose} {what} {line}")
    assert not wrong, "\n".join(wrong)
