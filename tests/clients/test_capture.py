"""Recorded sessions, and what policies would have done to them: real clients before, the same policies in force after."""

import json
import os
import subprocess

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import servers

pytestmark = pytest.mark.skipif(not servers.is_tollgate(), reason="needs policies: only Tollgate has them")

RECORDS = 40

TRIED = """policy("tried", "Not in force yet.");
on_fetch("customers").named("mask").mask("$.email", "all");
on_produce("customers").named("eve").principal("User:eve").deny();
on_produce("customers").named("lost").every(10).lose_response();
on_request("Metadata").named("leaderless").topic("customers").no_leader();
on_connect().named("late").delay("1ms");
"""


def topic(server):
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic("customers", 1, 1)])["customers"].result(30)


def produce(server):
    producer = Producer({"bootstrap.servers": server.bootstrap, "client.id": "shop", "linger.ms": 0, "batch.num.messages": 1})
    for n in range(RECORDS):
        producer.produce("customers", json.dumps({"n": n, "email": "ada@example.com"}))
    assert producer.flush(30) == 0


def read(server, **settings):
    usual = {"bootstrap.servers": server.bootstrap, "group.id": "unused", "client.id": "reader"}
    consumer = Consumer(usual | settings)
    consumer.assign([TopicPartition("customers", 0, 0)])
    count = 0
    while count < RECORDS:
        record = consumer.poll(30)
        assert record is not None, f"{count} of {RECORDS} records came"
        if record.error():
            raise KafkaException(record.error())
        count += 1
    consumer.close()


def dry_run(server, capture, policy):
    folder = server.folder / "tried"
    folder.mkdir(exist_ok=True)
    (folder / "tried.rhai").write_text(policy)
    ran = subprocess.run([server.binary, "policy", "dry-run", folder, "--capture", capture, "--json"], text=True, capture_output=True, timeout=60)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout), ran.stderr


def test_what_policies_would_have_done_to_recorded_clients(tmp_path):
    capture = tmp_path / "sessions.capture"
    with servers.running(tmp_path / "server", "none", None, "", capture=str(capture)) as server:
        topic(server)
        produce(server)
        read(server)
        login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": servers.USERS["alice"]}
        read(server, **login, **{"bootstrap.servers": server.sasl, "client.id": "logged in"})
    assert os.stat(capture).st_mode & 0o777 == 0o600
    assert servers.USERS["alice"].encode() not in capture.read_bytes()

    code, report, _ = dry_run(server, capture, TRIED)
    assert code == 0 and report["problem"] is None and report["dropped"] == 0 and report["unreadable"] == 0
    assert report["left_out"] > 0, "the login is there without its body"
    rules = {rule["rule"]: rule for rule in report["rules"]}
    # each read all records twice in all: once a client, as far as its fetches did not overlap
    assert rules["mask"]["would_act"] >= 2 * RECORDS
    assert set(rules["mask"]["client_ids"]) == {"reader", "logged in"} and "User:alice" in rules["mask"]["principals"]
    assert rules["eve"]["matched"] == 0
    assert rules["lost"]["would_act"] == rules["lost"]["matched"] // 10 > 0 and list(rules["lost"]["client_ids"]) == ["shop"]
    assert rules["leaderless"]["would_act"] > 0 and "customers" in rules["leaderless"]["topics"]
    assert rules["late"]["would_act"] == report["sessions"] > 0

    # what a dry run says is what happens: the same clients with that rule in force
    counted = 'policy("tried", "In force."); on_produce("customers").named("late").every(10).delay("1ms");\n'
    _, report, _ = dry_run(server, capture, counted)
    with servers.running(tmp_path / "in force", "none", None, counted) as live:
        topic(live)
        produce(live)
        rule = next(one for one in live.status()["policies"] if one["name"] == "tried")["rules"][0]
    assert (report["rules"][0]["matched"], report["rules"][0]["would_act"]) == (rule["matched"], rule["applied"])

    # cut short, as by a machine that died
    cut = tmp_path / "cut.capture"
    cut.write_bytes(capture.read_bytes()[:-5])
    code, report, said = dry_run(server, cut, TRIED)
    assert code == 1 and "is damaged at byte" in said and "in the middle of a record" in report["problem"]
    assert {rule["rule"]: rule for rule in report["rules"]}["mask"]["would_act"] >= RECORDS


def test_a_capture_is_never_written_over_and_never_grows_too_far(tmp_path):
    capture = tmp_path / "sessions.capture"
    with servers.running(tmp_path / "server", "none", None, "", capture=str(capture), capture_max_bytes="8KiB") as server:
        topic(server)
        produce(server)
        read(server)
        size = capture.stat().st_size
        assert size <= 8 * 1024
        _, report, _ = dry_run(server, capture, TRIED)
        assert report["full"] and report["requests"] > 0
    # started again, it records beside what is there, as long as there are names
    kept = capture.read_bytes()
    server.start()
    server.stop()
    assert capture.read_bytes() == kept and capture.with_name("sessions.capture.1").exists()
    for n in range(2, 10):
        capture.with_name(f"sessions.capture.{n}").write_text("")
    ran = subprocess.run([server.binary, "serve", "--config", server.folder / "tollgate.toml"], text=True, capture_output=True, timeout=60, cwd=server.folder)
    assert ran.returncode == 1 and "a capture is never written over" in ran.stderr + ran.stdout
    assert capture.read_bytes() == kept
