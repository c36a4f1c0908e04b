"""Faults and refusals as Kafka's own command-line tools 4.3.1 meet them: what they do about them, and what they tell their user."""

import re
import time

import pytest
from support.wait import until

pytestmark = pytest.mark.gateway

LINES = [f"line {n}" for n in range(20)]


@pytest.fixture
def made(run, topic):
    """A topic with one partition, so that the order is known."""
    run("kafka-topics", "--create", "--topic", topic, "--partitions", "1").ok()
    until("the topic is described", lambda: run("kafka-topics", "--describe", "--topic", topic).code == 0)
    return topic


@pytest.fixture
def produce(run, made):
    def produce(*lines, options=()):
        return run("kafka-console-producer", "--topic", made, *options, stdin="".join(line + "\n" for line in lines))

    return produce


@pytest.fixture
def consume(run, made):
    """Reads so many lines from the beginning, or where the group stands; or fewer, if no more come in time."""
    def consume(count, *options, patience=20_000):
        return run("kafka-console-consumer", "--topic", made, "--max-messages", str(count), "--timeout-ms", str(patience), "--from-beginning", *options)

    return consume


def timed(doing):
    start = time.monotonic()
    return doing(), time.monotonic() - start


# Rule; what the tool's log says of it; how long it must take. The console producer gives a request 1.5 s.
@pytest.mark.parametrize("rule, says, least", [
    ('on_produce("TOPIC").first(1).delay("1300ms")', "", 1.3),
    ('on_produce("TOPIC").first(1).fail("NOT_LEADER_OR_FOLLOWER")', "NOT_LEADER_OR_FOLLOWER", 0),
    ('on_produce("TOPIC").first(1).fail_after("NOT_ENOUGH_REPLICAS_AFTER_APPEND")', "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 0),
    ('on_produce("TOPIC").first(1).lose_request()', "REQUEST_TIMED_OUT", 1.5),
    ('on_produce("TOPIC").first(1).lose_response()', "REQUEST_TIMED_OUT", 1.5),
    ('on_produce("TOPIC").first(1).disconnect()', "NETWORK_EXCEPTION", 0),
    ('on_produce("TOPIC").first(1).reset()', "NETWORK_EXCEPTION", 0),
    ('on_request("Metadata").topic("TOPIC").first(1).delay("1300ms")', "", 1.3),
], ids=["delay", "fail", "fail_after", "lose_request", "lose_response", "disconnect", "reset", "slow-metadata"])
def test_console_producer(produce, consume, under, rule, says, least):
    """Idempotent, as it is by default: every line once, in order, whatever became of the first request."""
    with under(rule):
        ran, took = timed(lambda: produce(*LINES))
    assert re.search(says, ran.ok().err) and "Error when sending message" not in ran.err, ran.err
    assert took >= least
    produce("end").ok()
    assert consume(len(LINES) + 1).ok().out.splitlines() == [*LINES, "end"]


def test_console_producer_without_idempotence(produce, consume, under):
    """The same loss without idempotence: stored twice, as with a real broker."""
    with under('on_produce("TOPIC").first(1).lose_response()'):
        produce("twice", options=("--command-property", "enable.idempotence=false")).ok()
    produce("end").ok()
    assert consume(3).ok().out.splitlines() == ["twice", "twice", "end"]


def test_console_producer_without_metadata(produce, consume, under):
    """Metadata that comes too late: the tool says which topic it did not learn of."""
    with under('on_request("Metadata").topic("TOPIC").delay("3s")'):
        ran = produce("late", options=("--max-block-ms", "1000"))
    assert "not present in metadata after 1000 ms" in ran.out + ran.err, ran
    produce("end").ok()
    assert consume(1).ok().out.splitlines() == ["end"]


def test_console_producer_refused(produce, consume, under):
    """An error that no retry mends is printed with its exception."""
    with under('on_produce("TOPIC").fail("MESSAGE_TOO_LARGE")'):
        ran = produce("refused")
    assert re.search(r"Error when sending message to topic \S+ .*RecordTooLargeException", ran.out + ran.err, re.S), ran
    produce("end").ok()
    assert consume(1).ok().out.splitlines() == ["end"]


@pytest.mark.parametrize("rule, least", [
    ('on_produce("TOPIC").delay("400ms")', 400),
    ('on_produce("TOPIC").first(1).lose_response()', 1500),
], ids=["delay", "lose_response"])
def test_producer_perf(run, made, under, rule, least):
    """The latency it reports is that of the fault, and a retry is not a second record."""
    options = ("--command-property", "request.timeout.ms=1500", "delivery.timeout.ms=60000", "linger.ms=0")
    with under(rule):
        report = run("kafka-producer-perf-test", "--topic", made, "--num-records", "20", "--record-size", "100", "--throughput", "-1", *options).ok().out
    average, middle = re.search(r"20 records sent, .* ([\d.]+) ms avg latency, .* (\d+) ms 50th", report).groups()
    assert float(average) >= least and int(middle) >= least, report
    assert run("kafka-get-offsets", "--topic", made).ok().out.split() == [f"{made}:0:20"]


CUT = "Cancelled in-flight {} request"


@pytest.mark.parametrize("rule, says, least", [
    ('on_fetch("TOPIC").first(1).delay("2s")', "", 2),
    ('on_fetch("TOPIC").first(2).fail("UNKNOWN_TOPIC_OR_PARTITION")', "unknown topic or partition", 0),
    ('on_fetch("TOPIC").first(1).fail("OFFSET_OUT_OF_RANGE")', "is out of range", 0),
    ('on_fetch("TOPIC").first(1).fail_after("KAFKA_STORAGE_ERROR")', "KafkaStorageException", 0),
    ('on_fetch("TOPIC").first(1).lose_response()', CUT.format("FETCH"), 1.5),
    ('on_fetch("TOPIC").first(1).disconnect()', CUT.format("FETCH"), 0),
    ('on_fetch("TOPIC").first(1).reset()', CUT.format("FETCH"), 0),
    ('on_request("ListOffsets").topic("TOPIC").first(1).fail("LEADER_NOT_AVAILABLE")', "LEADER_NOT_AVAILABLE, retrying", 0),
], ids=["delay", "unknown", "out-of-range", "fail_after", "lose_response", "disconnect", "reset", "list-offsets"])
def test_console_consumer(produce, consume, under, rule, says, least):
    """Every line once, in order, whatever became of the first fetch."""
    produce(*LINES).ok()
    patience = 4000 if "delay" in rule else 1500
    with under(rule):
        ran, took = timed(lambda: consume(len(LINES), "--command-property", f"request.timeout.ms={patience}"))
    assert ran.ok().out.splitlines() == LINES
    assert says in ran.err, ran.err
    assert took >= least


def test_console_consumer_that_does_not_wait(produce, consume, under):
    """Records that come later than the tool waits for."""
    produce("one").ok()
    with under('on_fetch("TOPIC").delay("4s")'):
        ran = consume(1, patience=1000)
    assert ran.out == "" and "Processed a total of 0 messages" in ran.err and "TimeoutException" in ran.err, ran
    assert consume(1).ok().out.splitlines() == ["one"]


def test_console_consumer_refused(produce, consume, under):
    """A fetch error that no retry mends ends it, and it says why."""
    produce("one").ok()
    with under('on_fetch("TOPIC").fail("CORRUPT_MESSAGE")'):
        ran = consume(1)
    assert ran.out == "" and "Encountered corrupt message" in ran.err, ran
    assert consume(1).ok().out.splitlines() == ["one"]


@pytest.mark.parametrize("rule, says", [
    ('on_request("OffsetCommit").group("group-of-TOPIC").first(1).fail("COORDINATOR_LOAD_IN_PROGRESS")', "Offset commit failed on partition .* loading"),
    ('on_request("OffsetCommit").group("group-of-TOPIC").first(1).fail_after("NOT_COORDINATOR")', "Offset commit failed on partition .* not the correct"),
    ('on_request("OffsetCommit").group("group-of-TOPIC").first(1).disconnect()', CUT.format("OFFSET_COMMIT")),
    ('on_request("FindCoordinator").group("group-of-TOPIC").first(2).fail("COORDINATOR_NOT_AVAILABLE")', "Group coordinator lookup failed"),
    ('on_request("JoinGroup").group("group-of-TOPIC").first(1).reset()', CUT.format("JOIN_GROUP")),
], ids=["commit-fail", "commit-fail_after", "commit-disconnect", "coordinator", "join-reset"])
def test_console_consumer_in_a_group(produce, consume, group, under, rule, says):
    """The group reads on where it stopped: the commit at its end was tried again."""
    produce(*LINES).ok()
    with under(rule):
        ran = consume(len(LINES), "--group", group).ok()
    assert ran.out.splitlines() == LINES
    assert re.search(says, ran.err), ran.err
    produce("next").ok()
    assert consume(1, "--group", group).ok().out.splitlines() == ["next"]


def test_commits_that_are_never_taken(run, made, produce, consume, group, under):
    """The group reads all of it again, and the table of its offsets has none."""
    produce(*LINES).ok()
    with under('on_request("OffsetCommit").group("group-of-TOPIC").fail("INVALID_COMMIT_OFFSET_SIZE")'):
        assert consume(len(LINES), "--group", group).out.splitlines() == LINES
    assert made not in run("kafka-consumer-groups", "--describe", "--group", group).out
    assert consume(len(LINES), "--group", group).ok().out.splitlines() == LINES


def test_reset_offsets(run, made, produce, group, under):
    produce(*LINES).ok()
    reset = ("kafka-consumer-groups", "--group", group, "--topic", made, "--reset-offsets", "--to-offset", "7", "--execute")
    with under('on_request("OffsetCommit").group("group-of-TOPIC").fail("INVALID_COMMIT_OFFSET_SIZE")'):
        refused = run(*reset)
    assert "InvalidCommitOffsetSizeException" in refused.err and "Failed altering group offsets" in refused.out, refused
    assert f"{group} not found" in run("kafka-consumer-groups", "--describe", "--group", group).out
    with under('on_request("OffsetCommit").group("group-of-TOPIC").first(2).fail("COORDINATOR_LOAD_IN_PROGRESS")'):
        run(*reset).ok()
    assert re.search(rf"{group}\s+{made}\s+0\s+7\s+20\s+13", run("kafka-consumer-groups", "--describe", "--group", group).ok().out)


def is_there(run, topic):
    return topic in run("kafka-topics", "--list").ok().out.split()


@pytest.mark.parametrize("rule, says, code, there", [
    ('fail("POLICY_VIOLATION")', "PolicyViolationException", 1, False),
    ('fail("THROTTLING_QUOTA_EXCEEDED")', "ThrottlingQuotaExceededException", 1, False),
    ('fail_after("REQUEST_TIMED_OUT")', "TimeoutException", 1, True),
    ('lose_response()', "TimeoutException", 1, True),
    ('lose_request()', "TimeoutException", 1, False),
    ('first(1).fail("NOT_CONTROLLER")', "failed: NotControllerException", 0, True),
    ('first(1).disconnect()', CUT.format("CREATE_TOPICS"), 0, True),
    ('first(1).reset()', CUT.format("CREATE_TOPICS"), 0, True),
], ids=["policy", "quota", "fail_after", "lose_response", "lose_request", "not-controller", "disconnect", "reset"])
def test_create_topic(run, topic, under, tmp_path, rule, says, code, there):
    config = tmp_path / "admin.properties"
    config.write_text("request.timeout.ms=2000\ndefault.api.timeout.ms=2000\n")
    with under(f'on_request("CreateTopics").topic("TOPIC").{rule}'):
        ran = run("kafka-topics", "--create", "--topic", topic, "--command-config", str(config))
    assert ran.code == code and says in ran.out + ran.err, ran
    assert ("Error while executing topic command" if code else f"Created topic {topic}.") in ran.out, ran
    assert is_there(run, topic) == there


@pytest.mark.parametrize("how", ["disconnect()", "reset()"])
def test_describe_topic(run, made, under, how):
    """Asks again, and describes it."""
    with under(f'on_request("DescribeTopicPartitions").topic("TOPIC").first(1).{how}'):
        ran = run("kafka-topics", "--describe", "--topic", made).ok()
    assert f"Topic: {made}\t" in ran.out and CUT.format("DESCRIBE_TOPIC_PARTITIONS") in ran.err, ran


def test_describe_topic_refused(run, made, under):
    with under('on_request("DescribeTopicPartitions").topic("TOPIC").fail("LEADER_NOT_AVAILABLE")'):
        ran = run("kafka-topics", "--describe", "--topic", made)
    assert ran.code == 1 and "LeaderNotAvailableException" in ran.err and "PartitionCount" not in ran.out, ran


def test_list_topics_too_slow(run, made, under, tmp_path):
    config = tmp_path / "admin.properties"
    config.write_text(f"client.id={made}\nrequest.timeout.ms=800\ndefault.api.timeout.ms=800\n")
    with under('on_request("Metadata").client_id("TOPIC").delay("3s")'):
        ran = run("kafka-topics", "--list", "--command-config", str(config))
    assert ran.code == 1 and re.search("Timed out waiting|timed out", ran.out), ran
    assert made in run("kafka-topics", "--list", "--command-config", str(config)).ok().out.split()


def test_delete_topic_refused(run, made, under):
    with under('on_request("DeleteTopics").topic("TOPIC").fail("TOPIC_DELETION_DISABLED")'):
        ran = run("kafka-topics", "--delete", "--topic", made)
    assert ran.code == 1 and "TopicDeletionDisabledException" in ran.out + ran.err, ran
    assert is_there(run, made)


def test_denied_to_write(produce, consume, under):
    with under('on_access("Write").topic("TOPIC").deny()'):
        ran = produce("denied")
    assert "TopicAuthorizationException: Not authorized to access topics: [" in ran.out + ran.err, ran
    produce("end").ok()
    assert consume(1).ok().out.splitlines() == ["end"]


def test_denied_to_read(produce, consume, under):
    produce("secret").ok()
    with under('on_access("Read").topic("TOPIC").deny()'):
        ran = consume(1)
    assert "TopicAuthorizationException: Not authorized to access topics: [" in ran.err and "secret" not in ran.out, ran
    assert consume(1).ok().out.splitlines() == ["secret"]


def test_denied_group(run, made, produce, consume, group, under):
    """Neither read with, nor described, nor listed, nor reset; and the topic can be read without it."""
    produce("one").ok()
    consume(1, "--group", group).ok()
    listed = lambda: group in run("kafka-consumer-groups", "--list").ok().out.split()
    refused = f"GroupAuthorizationException: Not authorized to access group: {group}"
    assert listed()
    with under('on_access("All").group("group-of-TOPIC").deny()'):
        assert refused in consume(1, "--group", group).err
        for asked in (["--describe"], ["--describe", "--state"], ["--describe", "--members"], ["--topic", made, "--reset-offsets", "--to-earliest", "--execute"],
                      ["--delete"]):
            ran = run("kafka-consumer-groups", "--group", group, *asked)
            assert "GroupAuthorizationException" in ran.out + ran.err, (asked, ran)
        assert listed(), "who may describe the cluster sees every group's name, as with Kafka"
        assert consume(1).ok().out.splitlines() == ["one"]
    with under('on_access("Describe").group("group-of-TOPIC").cluster().deny()'):
        assert not listed()
    assert listed()
    assert re.search(rf"{group}\s+{made}\s+0\s+1\s+1\s+0", run("kafka-consumer-groups", "--describe", "--group", group).ok().out), "something was done to it"


def test_hidden_topic(run, made, under):
    """Who may not describe it does not learn that it is there."""
    assert is_there(run, made)
    with under('on_access("Describe").topic("TOPIC").deny()'):
        assert not is_there(run, made)
        described = run("kafka-topics", "--describe", "--topic", made)
        assert described.code == 1 and f"Topic '{made}' does not exist as expected" in described.out, described
        assert made not in run("kafka-topics", "--describe").ok().out
        offsets = run("kafka-get-offsets", "--topic", made)
        assert offsets.code == 1 and f"{made}:0:" not in offsets.out, offsets
    assert is_there(run, made)


def test_denied_to_administer(run, made, topic, under):
    """What may be looked at may not be changed; each tool says what it was refused. Topics are also created by who may create in the cluster."""
    refused = "TopicAuthorizationException"
    with under('on_access("Create", "Delete", "Alter", "AlterConfigs").topic("TOPIC*").cluster().deny()'):
        for asked in (["kafka-topics", "--create", "--topic", f"{topic}-2"], ["kafka-topics", "--delete", "--topic", made],
                      ["kafka-topics", "--alter", "--topic", made, "--partitions", "5"],
                      ["kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", made, "--add-config", "retention.ms=50000"]):
            ran = run(*asked)
            assert ran.code == 1 and refused in ran.out + ran.err, (asked, ran)
    assert not is_there(run, f"{topic}-2")
    assert re.search(r"PartitionCount: 1\t.*Configs: (?!.*retention.ms)", run("kafka-topics", "--describe", "--topic", made).ok().out)
