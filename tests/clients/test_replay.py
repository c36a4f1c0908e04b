"""The same seed, the same injections; a journal replayed: the same ones again, and with them the bug they brought to light."""

import json
from collections import Counter
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import servers

pytestmark = pytest.mark.skipif(not servers.is_tollgate(), reason="needs policies: only Tollgate has them")

ORDERS = 40

# By what is in them: a record at produce is counted among those its client sends to its partition, one at fetch by its offset.
ON_RECORDS = """policy("records", "Faults on records.");
expires("10m");
on_produce("orders").chance(0.1).poison("bad_utf8");
on_produce("orders").value("$.n", "> 10").every(7).strip_headers();
on_produce("orders").header("retry").first(3).skew_timestamps("1h");
on_fetch("orders").chance(0.2).tombstone();
"""

ON_EXCHANGES = """policy("exchanges", "Faults on exchanges.");
expires("10m");
on_produce("orders").named("lost").chance(CHANCE).lose_response();
"""


@contextmanager
def run(folder, policy, name, seed=7, **settings):
    """A server of its own, with one policy from its first moment on and an empty log."""
    with servers.running(folder / name, "none", None, policy, seed=seed, **settings) as server:
        admin = AdminClient({"bootstrap.servers": server.bootstrap})
        admin.create_topics([NewTopic("orders", 1, 1)])["orders"].result(30)
        yield server


def injections(server):
    """What the journal says was done, without what differs from run to run: times, sessions, correlation ids."""
    lines = [json.loads(line) for line in (server.folder / "data" / "journal.jsonl").read_text().splitlines()]
    kept = ("seed", "policy", "rule", "subject", "subject_id", "n", "fault", "parameter", "when")
    return sorted(json.dumps({key: line.get(key) for key in kept}) for line in lines if "fault" in line)


def read(server, count):
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "unused", "client.id": "reader"})
    consumer.assign([TopicPartition("orders", 0, 0)])
    records = []
    while len(records) < count:
        record = consumer.poll(30)
        assert record is not None, f"{len(records)} of {count} records came"
        if record.error():
            raise KafkaException(record.error())
        records.append(record)
    consumer.close()
    return records


def send_all(server, linger, idempotent):
    producer = Producer({"bootstrap.servers": server.bootstrap, "client.id": "shop", "linger.ms": linger, "enable.idempotence": idempotent})
    for n in range(200):
        headers = {"retry": "1"} if n % 5 == 0 else {"trace": "t"}
        producer.produce("orders", json.dumps({"n": n}), headers=headers)
        producer.poll(0)
    assert producer.flush(30) == 0


def test_records_meet_the_same_injections_however_they_are_batched(tmp_path):
    journals, values = [], []
    for linger, idempotent in [(0, False), (5, True), (200, True)]:
        with run(tmp_path, ON_RECORDS, f"linger-{linger}") as server:
            send_all(server, linger, idempotent)
            values.append([record.value() for record in read(server, 200)])
        journals.append(injections(server))
    assert journals[0] == journals[1] == journals[2]
    assert values[0] == values[1] == values[2]
    did = Counter(json.loads(line)["fault"] for line in journals[0])
    assert set(did) == {"poison", "strip_headers", "skew_timestamps", "tombstone"}, did
    with run(tmp_path, ON_RECORDS, "other seed", seed=8) as server:
        send_all(server, 5, True)
        read(server, 200)
    assert injections(server) != journals[0]


def careless_shop(server):
    """A client with a bug: what is not acknowledged in time it takes for not stored, and sends again as something new.
    The numbers that are stored more than once, and how often."""
    settings = {"bootstrap.servers": server.bootstrap, "client.id": "shop", "linger.ms": 0, "retries": 0, "socket.timeout.ms": 1_000}
    producer = Producer(settings)
    told = []
    for n in range(ORDERS):
        while True:
            producer.produce("orders", str(n), on_delivery=lambda error, _: told.append(error is None))
            assert producer.flush(30) == 0
            if told[-1]:
                break
    stored = Counter(record.value() for record in read(server, len(told)))
    return {n: times for n, times in stored.items() if times > 1}


def test_a_replay_brings_the_bug_to_light_again(tmp_path):
    with run(tmp_path, ON_EXCHANGES.replace("CHANCE", "0.1"), "found") as server:
        doubled = careless_shop(server)
    found = injections(server)
    assert doubled and sum(doubled.values()) - len(doubled) == len(found), "each lost answer is an order stored once more"

    journal = server.folder / "data" / "journal.jsonl"
    harmless = ON_EXCHANGES.replace("CHANCE", "0.0")
    with run(tmp_path, harmless, "replayed", seed=99, replay=str(journal)) as server:
        assert careless_shop(server) == doubled
    # The rest of a line is the first run's own seed.
    assert [json.loads(line) | {"seed": 7} for line in injections(server)] == [json.loads(line) for line in found]

    with run(tmp_path, harmless, "without") as server:
        assert careless_shop(server) == {}
    assert injections(server) == []
