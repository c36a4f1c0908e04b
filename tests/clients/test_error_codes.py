"""Every error code of Kafka's, put by a rule where the api has its place for it: each client says what the code means."""

import logging
import re
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType

pytestmark = pytest.mark.gateway
LOG = logging.getLogger("librdkafka")
TABLE = Path(__file__).resolve().parents[2] / "src" / "wire" / "error_code.rs"
CODES = {name: int(code) for code, name in re.findall(r"^    (-?\d+) ([A-Z_0-9]+)(?: \(retriable\))?;", TABLE.read_text(), re.M) if name != "NONE"}
APIS = ["CreateTopics", "DeleteTopics", "CreatePartitions", "DescribeConfigs", "IncrementalAlterConfigs", "Produce"]


@pytest.fixture
def failing(server, topic):
    """Whatever is asked about TOPIC-CODE fails with CODE."""
    heads = ", ".join(f'"{api}"' for api in APIS)
    rules = [f'on_request({heads}).topic("{topic}-{name}").fail("{name}");' for name in CODES]
    server.install(f"codes-{topic}", 'expires("10m");\n' + "\n".join(rules))
    yield topic
    server.remove(f"codes-{topic}")


def outcome(future):
    try:
        future.result(30)
        return None
    except KafkaException as error:
        return error.args[0].code()


def test_librdkafka_names_every_code(bootstrap, failing):
    assert len(CODES) > 130
    admin = AdminClient({"bootstrap.servers": bootstrap}, logger=LOG)
    topics = {f"{failing}-{name}": code for name, code in CODES.items()}
    asked = {
        "create": admin.create_topics([NewTopic(topic, 1) for topic in topics]),
        "delete": admin.delete_topics(list(topics)),
        "partitions": admin.create_partitions([NewPartitions(topic, 2) for topic in topics]),
    }
    for topic in topics:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        resource.add_incremental_config(ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET))
        asked[f"describe {topic}"] = {topic: admin.describe_configs([resource])[resource]}
        asked[f"alter {topic}"] = {topic: admin.incremental_alter_configs([resource])[resource]}
    wrong = [(what, topic, got) for what, futures in asked.items() for topic, future in futures.items()
             if (got := outcome(future)) != topics[topic]]
    assert wrong == []


# After these librdkafka looks for the leader again as long as the message lives, however few retries it was given.
LEADER_IS_ELSEWHERE = {
    "BROKER_NOT_AVAILABLE", "COORDINATOR_NOT_AVAILABLE", "LEADER_NOT_AVAILABLE", "NOT_COORDINATOR", "NOT_LEADER_OR_FOLLOWER", "REPLICA_NOT_AVAILABLE",
    "UNKNOWN_TOPIC_OR_PARTITION",
}


def test_librdkafka_delivers_every_code(bootstrap, failing):
    """One try, without idempotence: what the broker said is what the application is told."""
    sent = {}
    sender = Producer({"bootstrap.servers": bootstrap, "message.send.max.retries": 0, "message.timeout.ms": 8000}, logger=LOG)
    for name in CODES:
        sender.produce(f"{failing}-{name}", b"v", on_delivery=lambda error, message, name=name: sent.update({name: error and error.code()}))
    assert sender.flush(60) == 0
    assert {name for name, code in sent.items() if code == KafkaError._MSG_TIMED_OUT} == LEADER_IS_ELSEWHERE
    assert {name: code for name, code in sent.items() if name not in LEADER_IS_ELSEWHERE and code != CODES[name]} == {}
    assert len(sent) == len(CODES)


def test_java_throws_every_exception(bootstrap, failing, driver):
    right = int(driver.check("ErrorChecks.codes", bootstrap=bootstrap, topic=failing))
    assert right == 5 * len(CODES)
