"""The commands that tools.py runs. A section is a function of `run`; each has topics, users and groups of its own."""

SECTIONS = []


def section(function):
    SECTIONS.append(function)
    return function


def new_topic(run, name, partitions=1):
    run("kafka-topics", "--create", "--topic", name, "--partitions", str(partitions), keep=False)
    run("kafka-topics", "--describe", "--topic", name, keep=False, until="PartitionCount")


def produce(run, name, count):
    """By key: where a record without one goes is chance."""
    options = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:", "--compression-codec", "none")
    run("kafka-console-producer", "--topic", name, *options, stdin="".join(f"{n % 7}:{n}\n" for n in range(count)), keep=False)


@section
def topics(run):
    run("kafka-topics", "--create", "--topic", "tools-t", "--partitions", "2", "--config", "retention.ms=3600000")
    run("kafka-topics", "--describe", "--topic", "tools-t", until="PartitionCount")
    run("kafka-topics", "--create", "--topic", "tools-t")
    run("kafka-topics", "--alter", "--topic", "tools-t", "--partitions", "4")
    run("kafka-topics", "--alter", "--topic", "tools-t", "--partitions", "3")
    run("kafka-topics", "--describe", "--topic", "tools-nope")
    run("kafka-topics", "--describe", "--topics-with-overrides", "--topic", "tools-t", until="PartitionCount: 4")
    run("kafka-topics", "--describe", "--unavailable-partitions")
    run("kafka-topics", "--describe", "--under-min-isr-partitions")
    run("kafka-topics", "--describe", "--at-min-isr-partitions", "--topic", "tools-t")
    run("kafka-topics", "--delete", "--topic", "tools-t")
    run("kafka-topics", "--delete", "--topic", "tools-nope")


@section
def offsets(run):
    new_topic(run, "tools-o", 2)
    produce(run, "tools-o", 40)
    for when in ("latest", "earliest", "earliest-local", "latest-tiered", "earliest-pending-upload", "1"):
        run("kafka-get-offsets", "--topic", "tools-o", "--time", when)
    run("kafka-get-offsets", "--topic-partitions", "tools-o:1,tools-o:0-1", "--time", "earliest")
    run("kafka-get-offsets", "--topic", "tools-nope")
    plan = lambda *rows: {"version": 1, "partitions": [{"topic": t, "partition": p, "offset": o} for t, p, o in rows]}
    run("kafka-delete-records", "--offset-json-file", run.file("cut.json", plan(("tools-o", 0, 3), ("tools-o", 1, -1))), unordered=True)
    run("kafka-delete-records", "--offset-json-file", run.file("past.json", plan(("tools-o", 0, 9999))))
    run("kafka-get-offsets", "--topic", "tools-o", "--time", "-2")


@section
def topic_configs(run):
    new_topic(run, "tools-c")
    entity = ("--entity-type", "topics", "--entity-name", "tools-c")
    run("kafka-configs", "--describe", "--all", *entity)
    run("kafka-configs", "--alter", *entity, "--add-config", "retention.ms=50000,max.message.bytes=70000")
    run("kafka-configs", "--describe", *entity, until="retention.ms=50000")
    run("kafka-configs", "--alter", *entity, "--delete-config", "retention.ms,segment.bytes")
    run("kafka-configs", "--alter", *entity, "--add-config", "leader.replication.throttled.replicas=0:1")
    run("kafka-configs", "--describe", *entity, "--entity-default")
    for bad in ("no.such=1", "retention.ms=soon", "segment.bytes=-1", "cleanup.policy=burn", "compression.type=zip"):
        run("kafka-configs", "--alter", *entity, "--add-config", bad)
    run("kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", "tools-nope", "--add-config", "retention.ms=1")
    run("kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "tools-nope")


@section
def broker_configs(run):
    one, default = ("--entity-type", "brokers", "--entity-name", "1"), ("--entity-type", "brokers", "--entity-default")
    run("kafka-configs", "--describe", "--all", *one)
    run("kafka-configs", "--describe", *one)
    run("kafka-configs", "--describe", *default)
    run("kafka-configs", "--alter", *one, "--add-config", "log.retention.ms=7200000,num.io.threads=9")
    run("kafka-configs", "--alter", *default, "--add-config", "num.io.threads=7,leader.replication.throttled.rate=1000")
    run("kafka-configs", *one, "--describe", until="num.io.threads=9")
    run("kafka-configs", *default, "--describe")
    run("kafka-configs", "--alter", *one, "--delete-config", "log.retention.ms,num.io.threads")
    run("kafka-configs", "--alter", *default, "--delete-config", "num.io.threads,leader.replication.throttled.rate")
    for bad in ("log.dirs=/x", "node.id=2", "log.retention.ms=soon", "ssl.key.password=secret", "min.insync.replicas=2", "num.io.threads=900", "num.io.threads=0"):
        run("kafka-configs", "--alter", *one, "--add-config", bad)
    run("kafka-configs", "--alter", *default, "--delete-config", "min.insync.replicas")
    run("kafka-configs", "--describe", "--entity-type", "brokers", "--entity-name", "9")
    run("kafka-configs", "--describe", "--entity-type", "broker-loggers", "--entity-name", "1")
    run("kafka-configs", "--alter", "--entity-type", "broker-loggers", "--entity-name", "1", "--add-config", "no.such.logger=INFO")
    root = ("--entity-type", "broker-loggers", "--entity-name", "1")
    run("kafka-configs", "--alter", *root, "--add-config", "root=WARN")
    run("kafka-configs", *root, "--describe")
    run("kafka-configs", "--alter", *root, "--add-config", "root=LOUD")
    run("kafka-configs", "--alter", *root, "--delete-config", "root")


@section
def quotas(run):
    def quota(what, *entity):
        words = [word for kind, name in entity for word in (("--entity-type", kind, "--entity-name", name) if name else ("--entity-type", kind, "--entity-default"))]
        run("kafka-configs", *what, *words)
    describe = ("--describe",)
    set_ = lambda values: ("--alter", "--add-config", values)
    unset = lambda names: ("--alter", "--delete-config", names)
    user, client, ip = ("users", "tools-u"), ("clients", "tools-c"), ("ips", "10.1.2.3")
    quota(set_("producer_byte_rate=1024,consumer_byte_rate=2048"), user)
    quota(set_("request_percentage=12.5"), user, client)
    quota(set_("controller_mutation_rate=5"), user, ("clients", None))
    quota(set_("producer_byte_rate=4096"), client)
    quota(set_("connection_creation_rate=7"), ip)
    quota(set_("connection_creation_rate=9"), ("ips", None))
    # What is asked for shows that it is there: a change may take effect a little later.
    run("kafka-configs", "--describe", "--entity-type", "ips", until="are connection_creation_rate=9.0", unordered=True)
    for entity in ([user], [user, client], [user, ("clients", None)], [client], [ip], [("ips", None)], [("users", "nobody")]):
        quota(describe, *entity)
    run("kafka-configs", "--describe", "--entity-type", "users", unordered=True)
    run("kafka-configs", "--describe", "--entity-type", "clients", unordered=True)
    quota(set_("no_such_rate=1"), user)
    quota(set_("producer_byte_rate=0"), user)
    quota(set_("producer_byte_rate=1.5"), user)
    quota(set_("producer_byte_rate=x"), user)
    quota(set_("connection_creation_rate=1"), user)
    quota(set_("connection_creation_rate=99999999999"), ip)
    quota(set_("connection_creation_rate=1"), ("ips", "300.1.1.1"))
    quota(unset("producer_byte_rate,consumer_byte_rate"), user)
    quota(unset("request_percentage"), user, client)
    quota(unset("controller_mutation_rate"), user, ("clients", None))
    quota(unset("producer_byte_rate"), client)
    quota(unset("connection_creation_rate"), ip)
    quota(unset("connection_creation_rate"), ("ips", None))
    quota(unset("no_such_rate"), client)


@section
def group_and_metrics_configs(run):
    group, sub = ("--entity-type", "groups", "--entity-name", "tools-g"), ("--entity-type", "client-metrics", "--entity-name", "tools-s")
    run("kafka-configs", "--describe", "--all", *group)
    run("kafka-configs", "--describe", *group)
    run("kafka-configs", "--alter", *group, "--add-config", "consumer.session.timeout.ms=50000")
    run("kafka-configs", "--describe", "--entity-type", "groups", until="50000")
    for bad in ("consumer.session.timeout.ms=1", "no.such=1", "share.isolation.level=none"):
        run("kafka-configs", "--alter", *group, "--add-config", bad)
    run("kafka-configs", "--alter", *group, "--delete-config", "consumer.session.timeout.ms")
    run("kafka-configs", "--alter", *sub, "--add-config", "interval.ms=30000,metrics=[org.apache.kafka.producer.,x.],match=[client_id=a.*]")
    run("kafka-configs", "--describe", *sub, until="30000")
    run("kafka-configs", "--describe", "--entity-type", "client-metrics")
    for bad in ("interval.ms=1", "match=[colour=blue]", "no.such=1"):
        run("kafka-configs", "--alter", *sub, "--add-config", bad)
    run("kafka-client-metrics", "--list")
    run("kafka-client-metrics", "--describe", "--name", "tools-s")
    run("kafka-client-metrics", "--alter", "--name", "tools-s", "--interval", "60000", "--metrics", "y.", "--match", "client_software_name=java")
    run("kafka-client-metrics", "--describe", until="60000")
    run("kafka-client-metrics", "--delete", "--name", "tools-s")
    run("kafka-client-metrics", "--describe", "--name", "tools-nope")


@section
def log_dirs(run):
    new_topic(run, "tools-l", 2)
    produce(run, "tools-l", 2)
    run("kafka-log-dirs", "--describe", "--topic-list", "tools-l")
    run("kafka-log-dirs", "--describe", "--topic-list", "tools-l", "--broker-list", "1")
    run("kafka-log-dirs", "--describe", "--topic-list", "tools-nope")
    run("kafka-log-dirs", "--describe", "--broker-list", "7")


@section
def consumer_groups(run):
    new_topic(run, "tools-cg", 2)
    produce(run, "tools-cg", 12)
    run("kafka-console-consumer", "--topic", "tools-cg", "--group", "tools-cg", "--from-beginning", "--max-messages", "12", "--timeout-ms", "20000", keep=False)
    group = ("--group", "tools-cg")
    run("kafka-consumer-groups", "--describe", "--state", *group)
    run("kafka-consumer-groups", "--describe", "--members", *group)
    run("kafka-consumer-groups", "--describe", "--group", "tools-nope")
    run("kafka-consumer-groups", "--reset-offsets", *group, "--topic", "tools-cg", "--to-earliest", "--dry-run", unordered=True)
    run("kafka-consumer-groups", "--reset-offsets", *group, "--topic", "tools-cg", "--to-offset", "1", "--execute", unordered=True)
    run("kafka-consumer-groups", "--delete-offsets", *group, "--topic", "tools-cg", unordered=True)
    run("kafka-consumer-groups", "--delete", *group)
    run("kafka-consumer-groups", "--delete", "--group", "tools-nope")
    run("kafka-groups", "--list", "--group-type", "share")


@section
def cluster(run):
    run("kafka-cluster", "cluster-id")
    run("kafka-broker-api-versions", unordered=True)


@section
def administration(run):
    """What on one node is a fact or changes nothing."""
    new_topic(run, "tools-a", 2)
    produce(run, "tools-a", 14)
    for view in ("--status", "--replication"):
        run("kafka-metadata-quorum", "describe", view, unordered=True)
    run("kafka-metadata-quorum", "remove-controller", "--controller-id", "9", "--controller-directory-id", "c29tZXRoaW5nLWVsc2UtaQ")
    run("kafka-features", "describe", unordered=True)
    run("kafka-features", "upgrade", "--feature", "metadata.version=34")
    run("kafka-features", "upgrade", "--metadata", "3.9")
    run("kafka-features", "downgrade", "--metadata", "3.9")
    run("kafka-features", "downgrade", "--feature", "group.version=0", "--dry-run")
    run("kafka-features", "upgrade", "--feature", "nope=1")
    run("kafka-features", "disable", "--feature", "nope")
    run("kafka-cluster", "unregister", "--id", "9")
    run("kafka-cluster", "list-endpoints")
    run("kafka-leader-election", "--election-type", "preferred", "--topic", "tools-a", "--partition", "0")
    run("kafka-leader-election", "--election-type", "unclean", "--topic", "tools-a", "--partition", "1")
    run("kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions")
    run("kafka-leader-election", "--election-type", "preferred", "--topic", "tools-nope", "--partition", "0")
    plan = lambda replicas, partition=0, topic="tools-a": {"version": 1, "partitions": [{"topic": topic, "partition": partition, "replicas": replicas}]}
    same, other = run.file("same.json", plan([1])), run.file("other.json", plan([2]))
    run("kafka-reassign-partitions", "--generate", "--broker-list", "1", "--topics-to-move-json-file", run.file("move.json", {"version": 1, "topics": [{"topic": "tools-a"}]}))
    run("kafka-reassign-partitions", "--execute", "--reassignment-json-file", same)
    run("kafka-reassign-partitions", "--verify", "--reassignment-json-file", same)
    run("kafka-reassign-partitions", "--execute", "--reassignment-json-file", other)
    run("kafka-reassign-partitions", "--execute", "--reassignment-json-file", run.file("twice.json", plan([1, 1])))
    run("kafka-reassign-partitions", "--execute", "--reassignment-json-file", run.file("nope.json", plan([1], topic="tools-nope")))
    run("kafka-reassign-partitions", "--cancel", "--reassignment-json-file", same)
    run("kafka-reassign-partitions", "--list")
    run("kafka-transactions", "list")
    run("kafka-transactions", "list", "--transactional-id-pattern", "(")
    run("kafka-transactions", "describe", "--transactional-id", "tools-a")
    run("kafka-transactions", "describe-producers", "--topic", "tools-a", "--partition", "0", unordered=True)
    run("kafka-transactions", "find-hanging", "--broker-id", "1")
