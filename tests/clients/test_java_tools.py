"""Kafka's command-line tools 4.3.1, entered through their own main()."""

import json
import re
import signal
import subprocess

import pytest
from support.jvm import tool_process
from support.servers import USERS
from support.wait import until


@pytest.fixture
def made(run, topic):
    """A topic with three partitions."""
    run("kafka-topics", "--create", "--topic", topic, "--partitions", "3").ok()
    until("the topic is described", lambda: run("kafka-topics", "--describe", "--topic", topic).code == 0)
    return topic


def consume(run, topic, count, *arguments, formatting=()):
    options = [word for option in formatting for word in ("--formatter-property", option)]
    return run("kafka-console-consumer", "--topic", topic, "--max-messages", str(count), "--timeout-ms", "20000", *options, *arguments).ok().out.splitlines()


def test_topics(run, topic):
    name = ("--topic", topic)
    assert f"Created topic {topic}." in run("kafka-topics", "--create", *name, "--partitions", "3", "--config", "retention.ms=3600000").ok().out
    again = run("kafka-topics", "--create", *name)
    assert again.code == 1 and f"Topic '{topic}' already exists." in again.out
    run("kafka-topics", "--create", "--if-not-exists", *name).ok()
    refused = run("kafka-topics", "--create", "--topic", f"{topic}-3", "--replication-factor", "3")
    assert refused.code == 1 and "replication factor" in refused.out.lower()
    assert topic in run("kafka-topics", "--list").ok().out.split()

    def described():
        answer = run("kafka-topics", "--describe", *name)
        return answer.code == 0 and answer.out.splitlines()

    head, *partitions = until("it is described", described)
    assert re.search(rf"^Topic: {topic}\tTopicId: [\w-]{{22}}\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: .*retention.ms=3600000", head)
    assert len(partitions) == 3
    for n, line in enumerate(partitions):
        assert re.search(rf"Partition: {n}\tLeader: (\d+)\tReplicas: \1\tIsr: \1\b", line), line
    assert run("kafka-topics", "--describe", "--unavailable-partitions").ok().out.strip() == ""
    assert run("kafka-topics", "--describe", "--under-replicated-partitions").ok().out.strip() == ""

    run("kafka-topics", "--alter", *name, "--partitions", "5").ok()
    until("five partitions", lambda: "PartitionCount: 5" in run("kafka-topics", "--describe", *name).out)
    fewer = run("kafka-topics", "--alter", *name, "--partitions", "2")
    assert fewer.code == 1 and "would not be an increase" in fewer.out

    run("kafka-topics", "--delete", *name).ok()
    until("it is gone", lambda: topic not in run("kafka-topics", "--list").ok().out.split())
    gone = run("kafka-topics", "--describe", *name)
    assert gone.code == 1 and "does not exist" in gone.out
    run("kafka-topics", "--delete", "--if-exists", *name).ok()


def test_configs(run, made):
    entity = ("--entity-type", "topics", "--entity-name", made)
    described = lambda *more: run("kafka-configs", "--describe", *entity, *more).ok().out
    assert "retention.ms=" not in described()
    assert re.search(r"retention.ms=604800000 sensitive=false synonyms=\{", described("--all"))
    run("kafka-configs", "--alter", *entity, "--add-config", "retention.ms=50000,max.message.bytes=70000").ok()
    until("the change is described", lambda: "retention.ms=50000 sensitive=false" in described())
    assert "DYNAMIC_TOPIC_CONFIG:retention.ms=50000" in described()
    run("kafka-configs", "--alter", *entity, "--delete-config", "retention.ms").ok()
    until("it is the default again", lambda: "retention.ms=" not in described())
    assert "max.message.bytes=70000" in described()
    for bad in ("no.such=1", "retention.ms=soon", "segment.bytes=-1"):
        refused = run("kafka-configs", "--alter", *entity, "--add-config", bad)
        assert refused.code == 1 and "InvalidConfigurationException" in refused.err, bad
    broker = re.search(r"\(id: (\d+) ", run("kafka-broker-api-versions").ok().out)[1]
    assert f"All configs for broker {broker} are:" in run("kafka-configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", broker).ok().out


def test_console_producer_and_consumer(run, made):
    lines = "trace=1,trace=2\tk1\tone\nh=\tk2\ttwo\nNULL\tNULL\tthree\nNULL\tk4\tNULL\n"
    properties = ["parse.key=true", "parse.headers=true", "headers.key.separator==", "null.marker=NULL"]
    options = [word for option in properties for word in ("--reader-property", option)]
    run("kafka-console-producer", "--topic", made, *options, "--compression-codec", "lz4", stdin=lines).ok()
    shown = consume(run, made, 4, "--from-beginning", formatting=["print.headers=true", "print.key=true"])
    assert sorted(shown) == sorted(["trace:1,trace:2\tk1\tone", "h:\tk2\ttwo", "NO_HEADERS\tnull\tthree", "NO_HEADERS\tk4\tnull"])


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_console_producer_compressions(run, made, compression):
    run("kafka-console-producer", "--topic", made, "--compression-codec", compression, stdin="".join(f"line {n}\n" for n in range(50))).ok()
    assert sorted(consume(run, made, 50, "--from-beginning")) == sorted(f"line {n}" for n in range(50))


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_console_producer_acks(run, made, acks):
    idempotence = "true" if acks == "all" else "false"
    options = ("--request-required-acks", acks, "--command-property", f"enable.idempotence={idempotence}")
    run("kafka-console-producer", "--topic", made, *options, stdin="a\nb\nc\n").ok()
    assert sorted(consume(run, made, 3, "--from-beginning")) == ["a", "b", "c"]


def test_console_consumer_from_an_offset(run, made):
    options = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    run("kafka-console-producer", "--topic", made, *options, stdin="".join(f"same:{n}\n" for n in range(10))).ok()
    ends = dict(line.rsplit(":", 2)[1:] for line in run("kafka-get-offsets", "--topic", made).ok().out.split())
    partition = next(p for p, end in ends.items() if end == "10")
    shown = consume(run, made, 3, "--partition", partition, "--offset", "4", formatting=["print.offset=true", "print.partition=true"])
    assert shown == [f"Partition:{partition}\tOffset:{n}\t{n}" for n in (4, 5, 6)]


def test_get_offsets_and_delete_records(run, made, tmp_path):
    options = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    run("kafka-console-producer", "--topic", made, *options, stdin="".join(f"{n % 9}:{n}\n" for n in range(90))).ok()
    read = lambda time: dict(map(int, line.rsplit(":", 2)[1:]) for line in run("kafka-get-offsets", "--topic", made, "--time", time).ok().out.split())
    latest = read("latest")
    assert sum(latest.values()) == 90 and read("earliest") == {0: 0, 1: 0, 2: 0}
    partition = max(latest, key=latest.get)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": made, "partition": partition, "offset": 5}]}))
    assert f"partition: {made}-{partition}\tlow_watermark: 5" in run("kafka-delete-records", "--offset-json-file", str(plan)).ok().out
    assert read("earliest")[partition] == 5 and read("latest") == latest
    assert read("-3")[partition] >= 5  # max timestamp


def test_consumer_groups(run, made, group):
    run("kafka-console-producer", "--topic", made, stdin="".join(f"{n}\n" for n in range(30))).ok()
    consume(run, made, 30, "--from-beginning", "--group", group)
    assert group in run("kafka-consumer-groups", "--list").ok().out.split()
    assert re.search(rf"{group}\s+Empty", run("kafka-consumer-groups", "--list", "--state").ok().out)
    assert re.search(rf"{group}\s+Classic\s+consumer", run("kafka-groups", "--list").ok().out)

    def offsets():
        table = run("kafka-consumer-groups", "--describe", "--group", group).ok().out
        rows = re.findall(rf"^{group}\s+{made}\s+(\d+)\s+(\S+)\s+(\d+)\s+(\S+)", table, re.M)
        return {int(partition): (current, int(end), lag) for partition, current, end, lag in rows}

    ends = {p: end for p, (_, end, _) in offsets().items()}
    assert sum(ends.values()) == 30 and all(lag == "0" for _, _, lag in offsets().values())
    assert re.search(rf"{group}\s+\S+\s+\(\d+\)\s+-?\s*Empty\s+0", run("kafka-consumer-groups", "--describe", "--state", "--group", group).ok().out)

    reset = ("kafka-consumer-groups", "--group", group, "--reset-offsets", "--topic", made)
    run(*reset, "--to-earliest", "--dry-run").ok()
    assert all(lag == "0" for _, _, lag in offsets().values()), "a dry run changed something"
    run(*reset, "--to-earliest", "--execute").ok()
    assert {p: current for p, (current, _, _) in offsets().items()} == {p: "0" for p in ends}
    run(*reset, "--shift-by", "2", "--execute").ok()
    assert all(current == str(min(2, ends[p])) for p, (current, _, _) in offsets().items())
    run(*reset, "--to-datetime", "2020-01-01T00:00:00.000", "--execute").ok()
    assert all(current == "0" for current, _, _ in offsets().values())
    run(*reset, "--to-latest", "--execute").ok()
    assert all(lag == "0" for _, _, lag in offsets().values())
    assert len(re.findall("Successful", run("kafka-consumer-groups", "--group", group, "--delete-offsets", "--topic", made).ok().out)) == len(ends)
    assert "was successful" in run("kafka-consumer-groups", "--group", group, "--delete").ok().out
    again = run("kafka-consumer-groups", "--group", group, "--delete")
    assert "GroupIdNotFoundException" in again.out


def test_consumer_group_with_a_member(run, made, group, bootstrap, tmp_path):
    run("kafka-console-producer", "--topic", made, stdin="one\n").ok()
    with open(tmp_path / "out", "w") as out:
        member = tool_process("kafka-console-consumer", "--bootstrap-server", bootstrap, "--topic", made, "--group", group, "--from-beginning", stdout=out, stderr=out)
    try:
        def members():
            table = run("kafka-consumer-groups", "--describe", "--members", "--group", group)
            return re.search(rf"{group}\s+(console-consumer-\S+)\s+(/127.0.0.1)\s+console-consumer\s+3", table.out)

        until("the member owns three partitions", members, 60)
        assert re.search(r"\s+range\s+Stable\s+1", run("kafka-consumer-groups", "--describe", "--state", "--group", group).ok().out)
        assert "GroupNotEmptyException" in run("kafka-consumer-groups", "--delete", "--group", group).out
        refused = run("kafka-consumer-groups", "--group", group, "--reset-offsets", "--to-earliest", "--topic", made, "--execute")
        assert "inactive" in refused.out + refused.err
    finally:
        member.send_signal(signal.SIGTERM)
        member.wait(20)
    assert "one" in (tmp_path / "out").read_text()


def test_producer_perf(run, tools, made, bootstrap):
    report = tools.run("kafka-producer-perf-test", "--bootstrap-server", bootstrap, "--topic", made, "--num-records", "20000", "--record-size", "100",
                       "--throughput", "-1", "--command-property", "acks=all", "--command-property", "compression.type=zstd").ok().out
    assert re.search(r"^20000 records sent, [\d.]+ records/sec", report, re.M), report
    assert sum(int(line.rsplit(":", 1)[1]) for line in run("kafka-get-offsets", "--topic", made).ok().out.split()) == 20000
    report = tools.run("kafka-consumer-perf-test", "--bootstrap-server", bootstrap, "--topic", made, "--num-records", "20000", "--timeout", "20000").ok().out
    assert re.search(r", 20000, ", report), report


def test_verifiable_producer_and_consumer(made, group, bootstrap, tmp_path):
    """With 2000 records: each acknowledged once, each consumed once, offsets committed."""
    with open(tmp_path / "consumed", "w") as out:
        consumer = tool_process("kafka-verifiable-consumer", "--bootstrap-server", bootstrap, "--topic", made, "--group-id", group,
                                "--reset-policy", "earliest", "--max-messages", "2000", "--verbose", stdout=out, stderr=subprocess.DEVNULL)
    producer = tool_process("kafka-verifiable-producer", "--bootstrap-server", bootstrap, "--topic", made, "--max-messages", "2000",
                            "--throughput", "-1", "--acks", "-1", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    sent = [json.loads(line) for line in producer.communicate(timeout=60)[0].splitlines()]
    assert consumer.wait(60) == 0
    acked = [event for event in sent if event["name"] == "producer_send_success"]
    assert sorted(int(event["value"]) for event in acked) == list(range(2000))
    assert not [event for event in sent if event["name"] == "producer_send_error"]
    events = [json.loads(line) for line in (tmp_path / "consumed").read_text().splitlines() if line.startswith("{")]
    data = [event for event in events if event["name"] == "record_data"]
    assert sorted(int(event["value"]) for event in data) == list(range(2000))
    assert {(e["partition"], e["offset"]) for e in data} == {(e["partition"], e["offset"]) for e in acked}
    assert any(event["name"] == "offsets_committed" and event["success"] for event in events)


def test_cluster_and_api_versions(run, tools, bootstrap):
    assert re.search(r"Cluster ID: \S{10,}", tools.run("kafka-cluster", "cluster-id", "--bootstrap-server", bootstrap).ok().out)
    table = run("kafka-broker-api-versions").ok().out
    assert "ERROR" not in table
    for api in ("Produce(0)", "Fetch(1)", "JoinGroup(11)", "ApiVersions(18)", "InitProducerId(22)", "DescribeTopicPartitions(75)"):
        line = next((line for line in table.splitlines() if line.strip().startswith(api)), None)
        assert line and "usable" in line, f"{api}: {line}"


@pytest.mark.restarts
def test_resume_after_a_restart(run, made, group, server):
    run("kafka-console-producer", "--topic", made, stdin="".join(f"{n}\n" for n in range(10))).ok()
    first = consume(run, made, 10, "--from-beginning", "--group", group)
    server.restart()
    run("kafka-console-producer", "--topic", made, stdin="".join(f"{n}\n" for n in range(10, 20))).ok()
    rest = consume(run, made, 10, "--group", group)
    assert sorted(first + rest, key=int) == [str(n) for n in range(20)]
    assert "PartitionCount: 3" in run("kafka-topics", "--describe", "--topic", made).ok().out


@pytest.mark.gateway
def test_mask_in_the_console(server, tools, run, made, tmp_path):
    """One logged-in reader of the console consumer sees the field, the other does not."""
    value = '{"email":"ada@example.com"}'
    run("kafka-console-producer", "--topic", made, stdin=value + "\n").ok()
    with server.policy(f"mask-{made}", f'on_fetch("{made}").principal("User:bob").mask("$.email", "email");'):
        seen = {}
        for name, password in USERS.items():
            config = tmp_path / f"{name}.properties"
            config.write_text("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config="
                              f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{name}" password="{password}";\n')
            answer = tools.run("kafka-console-consumer", "--bootstrap-server", server.sasl, "--command-config", str(config), "--topic", made,
                               "--from-beginning", "--max-messages", "1", "--timeout-ms", "20000")
            seen[name] = answer.ok().out.strip()
    assert seen == {"alice": value, "bob": '{"email":"a**@example.com"}'}
