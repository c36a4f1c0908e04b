"""How late an answer is, to the client that waits for it: drawn with the heavy tail that queues have, and drawn the same again."""

import asyncio
import json
import re
import time
from statistics import median

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.clients import INSTALLED
from support.wait import until

pytestmark = pytest.mark.gateway

COUNT = 40
# Of a Pareto distribution with the shape 1.5 half is below 1.6 times the least, and one in 32 beyond ten times.
LEAST, SHAPE = 0.015, 1.5


def confluent(bootstrap, topic, server, policies):
    """Seconds that each of COUNT records took, one after the other, under each of the policies."""
    sender = Producer({"bootstrap.servers": bootstrap, "client.id": "tail", "linger.ms": 0})

    def send(value):
        failed = []
        start = time.monotonic()
        sender.produce(topic, value, partition=0, on_delivery=lambda error, _: failed.append(error) if error else None)
        assert sender.flush(60) == 0 and not failed, failed
        return time.monotonic() - start

    send("warm")
    for policy in policies:
        with server.policy("tail", policy):
            yield [send(str(n)) for n in range(COUNT)]


def aiokafka(bootstrap, topic, server, policies):
    with asyncio.Runner() as runner:
        async def begin():
            sender = AIOKafkaProducer(bootstrap_servers=bootstrap, client_id="tail", enable_idempotence=True)
            await sender.start()
            await sender.send_and_wait(topic, b"warm", partition=0)
            return sender

        async def send():
            took = []
            for n in range(COUNT):
                start = time.monotonic()
                await sender.send_and_wait(topic, str(n).encode(), partition=0)
                took.append(time.monotonic() - start)
            return took

        sender = runner.run(begin())
        for policy in policies:
            with server.policy("tail", policy):
                yield runner.run(send())
        runner.run(sender.stop())


def journalled(server) -> list[float]:
    """What the last COUNT delays were drawn to, in seconds."""
    unit = {"s": 1, "ms": 1e-3, "µs": 1e-6}

    def lines():
        entries = [json.loads(line) for line in (server.folder / "data" / "journal.jsonl").read_text().splitlines()]
        drawn = [entry["parameter"] for entry in entries if entry.get("policy") == "tail"]
        return drawn if len(drawn) % COUNT == 0 else None

    drawn = until("the journal has them all", lines)[-COUNT:]
    return [float(number) * unit[name] for number, name in (re.fullmatch(r"([\d.]+)(\D+)", one).groups() for one in drawn)]


@pytest.mark.parametrize("client", [send for send in (confluent, aiokafka) if send.__name__ in INSTALLED], ids=lambda send: send.__name__)
def test_pareto(server, bootstrap, client):
    # A name that is the same in every run: what is drawn depends on it.
    topic = f"tail-{client.__name__}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(10)
    until("the topic is there", lambda: topic in admin.list_topics(timeout=5).topics)
    policies = [f'expires("10m"); seed({seed}); on_produce("{topic}").delay(pareto("{LEAST * 1000:.0f}ms", {SHAPE}));' for seed in (3, 3, 4)]
    seen, drawn = [], []
    for took in client(bootstrap, topic, server, policies):
        seen.append(took)
        drawn.append(journalled(server))

    for took, meant in zip(seen, drawn):
        assert all(t >= m for t, m in zip(took, meant)), "an answer came before its time"
        assert median(t - m for t, m in zip(took, meant)) < LEAST, "they are late by more than that"
    first, again, other = seen
    assert min(first) >= LEAST and median(first) < 3 * LEAST and max(first) > 10 * LEAST, sorted(first)
    assert drawn[0] == drawn[1] != drawn[2]
    # As the client sees it: the same answers are the late ones.
    assert median(abs(a - b) for a, b in zip(first, again)) < LEAST / 2
    assert first.index(max(first)) == again.index(max(again)) != other.index(max(other))
