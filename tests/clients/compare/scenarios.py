"""What is asked of a broker to learn, or to compare, how it answers.

A scenario is a function of `ask`: `ask(label, api, version, body)` sends, keeps the answer under the label (if not None) and
returns it; `alone` sends on a connection of its own, for what Kafka may never answer. Every scenario has topics and groups of its own.
Left out, because Apache Kafka 4.4.0 falls over it (the controller gives up its leadership): IncrementalAlterConfigs with an unknown operation.
"""

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


NULL_ID = "AAAAAAAAAAAAAAAAAAAAAA"
STRANGE_ID = "c29tZXRoaW5nLWVsc2UtaQ"


def new_topic(ask, name, partitions=1, **configs):
    answer = ask(None, "CREATE_TOPICS", 7, {"timeoutMs": 10000, "topics": [{
        "name": name, "numPartitions": partitions, "replicationFactor": 1,
        "configs": [{"name": key, "value": value} for key, value in configs.items()]}]})
    topic = answer["body"]["topics"][0]
    assert topic["errorCode"] in (0, 36), topic
    for _ in range(100):  # until metadata knows it
        seen = ask(None, "METADATA", 12, {"topics": [{"name": name, "topicId": NULL_ID}]})["body"]["topics"][0]
        if seen["errorCode"] == 0 and len(seen["partitions"]) == partitions:
            return seen["topicId"]
    raise AssertionError(f"{name} never appeared: {seen}")


def produce(name, *batches, acks=-1):
    return {"acks": acks, "timeoutMs": 5000, "topicData": [{"name": name, "partitionData": [
        {"index": index, "records": records} for index, records in batches]}]}


@scenario
def api_versions(ask):
    software = {"clientSoftwareName": "probe", "clientSoftwareVersion": "1"}
    ask("v0", "API_VERSIONS", 0)
    ask("v1", "API_VERSIONS", 1)
    ask("v2", "API_VERSIONS", 2)
    ask("v3", "API_VERSIONS", 3, software)
    ask("v4", "API_VERSIONS", 4, software)
    cluster = ask(None, "METADATA", 12, {"topics": []})["body"]["clusterId"]
    def v5(label, cluster_id, node):
        ask("v5 " + label, "API_VERSIONS", 5, {**software, "clusterId": cluster_id, "nodeId": node})
    v5("names neither", None, -1)
    v5("right cluster and node", cluster, 1)
    v5("right cluster, wrong node", cluster, 77)
    v5("wrong cluster, right node", "another-cluster-xxxxxx", 1)
    v5("wrong cluster only", "another-cluster-xxxxxx", -1)
    v5("right cluster only", cluster, -1)
    v5("wrong node only", None, 77)
    ask("v6, not known", "API_VERSIONS", 6, raw="AnAyMQAA", conn="new")
    ask("v3 bad software name", "API_VERSIONS", 3, {"clientSoftwareName": "pr obe!", "clientSoftwareVersion": ""})


@scenario
def metadata(ask):
    new_topic(ask, "metadata-known", 2)
    ask("v12 all topics", "METADATA", 12, {"topics": None}, only="metadata-known")
    ask("v12 none", "METADATA", 12, {"topics": []})
    ask("v12 unknown, no auto-creation", "METADATA", 12, {"topics": [{"name": "metadata-nope", "topicId": NULL_ID}], "allowAutoTopicCreation": False})
    ask("v12 unknown id", "METADATA", 12, {"topics": [{"name": None, "topicId": STRANGE_ID}]})
    ask("v12 name and id", "METADATA", 12, {"topics": [{"name": "metadata-known", "topicId": STRANGE_ID}]})
    ask("v12 bad name", "METADATA", 12, {"topics": [{"name": "a b", "topicId": NULL_ID}], "allowAutoTopicCreation": True})
    ask("v12 empty name", "METADATA", 12, {"topics": [{"name": "", "topicId": NULL_ID}], "allowAutoTopicCreation": True})
    ask("v12 auto-creation, first answer", "METADATA", 12, {"topics": [{"name": "metadata-auto", "topicId": NULL_ID}], "allowAutoTopicCreation": True})
    for _ in range(50):
        if ask(None, "METADATA", 12, {"topics": [{"name": "metadata-auto", "topicId": NULL_ID}]})["body"]["topics"][0]["errorCode"] == 0:
            break
    ask("v12 auto-creation, later", "METADATA", 12, {"topics": [{"name": "metadata-auto", "topicId": NULL_ID}], "includeTopicAuthorizedOperations": True})
    ask("v1 known", "METADATA", 1, {"topics": [{"name": "metadata-known"}]})
    ask("v0 empty list means all", "METADATA", 0, {"topics": []}, only="metadata-known")
    ask("v8 cluster operations", "METADATA", 8, {"topics": [], "includeClusterAuthorizedOperations": True})
    ask("v12 the same topic twice", "METADATA", 12, {"topics": [{"name": "metadata-known", "topicId": NULL_ID}] * 2})
    ask("v13 __consumer_offsets unasked", "METADATA", 13, {"topics": [{"name": "__consumer_offsets", "topicId": NULL_ID}], "allowAutoTopicCreation": False})


@scenario
def create_topics(ask):
    def create(label, version=7, validate=False, **topic):
        ask(label, "CREATE_TOPICS", version, {"timeoutMs": 10000, "validateOnly": validate, "topics": [
            {"numPartitions": 1, "replicationFactor": 1, **topic}]})
    create("ok", name="create-a", numPartitions=3, configs=[{"name": "retention.ms", "value": "1000"}])
    create("exists", name="create-a")
    create("defaults", name="create-b", numPartitions=-1, replicationFactor=-1)
    create("v2 defaults", version=2, name="create-c", numPartitions=-1, replicationFactor=-1)
    create("zero partitions", name="create-x1", numPartitions=0)
    create("negative partitions", name="create-x2", numPartitions=-5)
    create("replication 3", name="create-x3", replicationFactor=3)
    create("replication 0", name="create-x4", replicationFactor=0)
    create("bad name", name="create x")
    create("empty name", name="")
    create("dot", name=".")
    create("long name", name="x" * 250)
    create("collision", name="create_collide.a")
    create("collision 2", name="create.collide_a")
    create("unknown config", name="create-x5", configs=[{"name": "no.such", "value": "1"}])
    create("bad config value", name="create-x6", configs=[{"name": "retention.ms", "value": "soon"}])
    create("config below minimum", name="create-x7", configs=[{"name": "segment.bytes", "value": "1"}])
    create("config null", name="create-x8", configs=[{"name": "retention.ms", "value": None}])
    create("config twice", name="create-x9", configs=[{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}])
    create("cleanup.policy nonsense", name="create-x10", configs=[{"name": "cleanup.policy", "value": "burn"}])
    create("validate only", validate=True, name="create-v", numPartitions=2)
    create("validate only, exists", validate=True, name="create-a")
    create("assignment", name="create-assigned", numPartitions=-1, replicationFactor=-1, assignments=[{"partitionIndex": 0, "brokerIds": [1]}])
    create("assignment and count", name="create-x11", assignments=[{"partitionIndex": 0, "brokerIds": [1]}])
    create("assignment gap", name="create-x12", numPartitions=-1, replicationFactor=-1, assignments=[{"partitionIndex": 1, "brokerIds": [1]}])
    create("assignment unknown broker", name="create-x13", numPartitions=-1, replicationFactor=-1, assignments=[{"partitionIndex": 0, "brokerIds": [9]}])
    create("internal name", validate=True, name="__consumer_offsets")
    ask("twice in one request", "CREATE_TOPICS", 7, {"timeoutMs": 10000, "topics": [{"name": "create-twice", "numPartitions": 1, "replicationFactor": 1}] * 2})
    ask("one good one bad", "CREATE_TOPICS", 7, {"timeoutMs": 10000, "topics": [
        {"name": "create-good", "numPartitions": 1, "replicationFactor": 1}, {"name": "b ad", "numPartitions": 1, "replicationFactor": 1}]})
    ask("too many partitions", "CREATE_TOPICS", 7, {"timeoutMs": 10000, "validateOnly": True, "topics": [{"name": "create-many", "numPartitions": 10001, "replicationFactor": 1}]})


@scenario
def create_partitions(ask):
    new_topic(ask, "grow", 2)
    def grow(label, name, count, assignments=None, validate=False):
        ask(label, "CREATE_PARTITIONS", 3, {"timeoutMs": 10000, "validateOnly": validate, "topics": [{"name": name, "count": count, "assignments": assignments}]})
    grow("same", "grow", 2)
    grow("fewer", "grow", 1)
    grow("zero", "grow", 0)
    grow("negative", "grow", -1)
    grow("unknown", "grow-nope", 3)
    grow("validate", "grow", 3, validate=True)
    grow("with assignment", "grow", 3, [{"brokerIds": [1]}])
    grow("assignment count", "grow", 5, [{"brokerIds": [1]}])
    grow("assignment unknown broker", "grow", 4, [{"brokerIds": [8]}])
    grow("more", "grow", 6)
    ask("twice", "CREATE_PARTITIONS", 3, {"timeoutMs": 10000, "topics": [{"name": "grow", "count": 8, "assignments": None}] * 2})


@scenario
def delete_topics(ask):
    first = new_topic(ask, "delete-a", 1)
    second = new_topic(ask, "delete-b", 1)
    ask("by name", "DELETE_TOPICS", 5, {"timeoutMs": 10000, "topicNames": ["delete-a", "delete-nope"]})
    ask("again", "DELETE_TOPICS", 5, {"timeoutMs": 10000, "topicNames": ["delete-a"]})
    ask("by old id", "DELETE_TOPICS", 6, {"timeoutMs": 10000, "topics": [{"name": None, "topicId": first}]})
    ask("by id", "DELETE_TOPICS", 6, {"timeoutMs": 10000, "topics": [{"name": None, "topicId": second}]})
    ask("name and id", "DELETE_TOPICS", 6, {"timeoutMs": 10000, "topics": [{"name": "delete-b", "topicId": second}]})
    ask("neither", "DELETE_TOPICS", 6, {"timeoutMs": 10000, "topics": [{"name": None, "topicId": NULL_ID}]})
    new_topic(ask, "delete-c", 1)
    ask("twice", "DELETE_TOPICS", 6, {"timeoutMs": 10000, "topics": [{"name": "delete-c", "topicId": NULL_ID}] * 2})
    ask("v1 unknown", "DELETE_TOPICS", 1, {"timeoutMs": 10000, "topicNames": ["delete-nope"]})
    gone = new_topic(ask, "delete-again", 1)
    ask("produce", "PRODUCE", 9, produce("delete-again", (0, {"values": ["old"]})))
    ask("delete", "DELETE_TOPICS", 6, {"timeoutMs": 10000, "topics": [{"name": "delete-again", "topicId": NULL_ID}]})
    new = new_topic(ask, "delete-again", 1)
    assert gone != new
    ask("fetch by the old id", "FETCH", 13, {"maxWaitMs": 10, "topics": [{"topicId": gone, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]})
    ask("produce by the old id", "PRODUCE", 13, {"acks": -1, "timeoutMs": 1000, "topicData": [{"topicId": gone, "partitionData": [{"index": 0, "records": {"values": ["x"]}}]}]})
    ask("fetch by the new id", "FETCH", 13, {"maxWaitMs": 10, "topics": [{"topicId": new, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]})


@scenario
def describe_configs(ask):
    new_topic(ask, "configs", 1, **{"retention.ms": "123456", "compression.type": "lz4"})
    def describe(label, kind, name, keys=None, version=4, synonyms=True, documentation=False):
        return ask(label, "DESCRIBE_CONFIGS", version, {"includeSynonyms": synonyms, "includeDocumentation": documentation,
            "resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": keys}]})
    describe("topic", 2, "configs")
    describe("topic, no synonyms, v1", 2, "configs", ["retention.ms", "retention.bytes"], version=1, synonyms=False)
    describe("topic, unknown key", 2, "configs", ["no.such.key"])
    describe("topic, empty keys", 2, "configs", [])
    describe("topic, documentation", 2, "configs", ["retention.ms"], documentation=True)
    describe("unknown topic", 2, "configs-nope")
    describe("bad topic name", 2, "co nfigs")
    describe("broker", 4, "1", ["message.max.bytes", "num.partitions", "auto.create.topics.enable", "log.segment.bytes", "log.retention.ms", "compression.type"])
    describe("broker, unknown key", 4, "1", ["no.such.key"])
    describe("broker default", 4, "")
    describe("another broker", 4, "7")
    describe("broker not a number", 4, "abc")
    describe("broker logger", 8, "1", ["kafka"])
    describe("client metrics", 16, "nope")
    describe("group", 32, "some-group")
    describe("unknown type", 0, "x")
    describe("type 99", 99, "x")


@scenario
def alter_configs(ask):
    new_topic(ask, "alter", 1)
    def alter(label, *configs, kind=2, name="alter", validate=False):
        ask(label, "INCREMENTAL_ALTER_CONFIGS", 1, {"validateOnly": validate, "resources": [{"resourceType": kind, "resourceName": name,
            "configs": [{"name": key, "configOperation": operation, "value": value} for key, operation, value in configs]}]})
    SET, DELETE, APPEND, SUBTRACT = range(4)
    alter("set", ("retention.ms", SET, "5000"), ("max.message.bytes", SET, "2000000"))
    alter("validate only", ("retention.ms", SET, "7000"), validate=True)
    alter("bad value", ("retention.ms", SET, "abc"))
    alter("below minimum", ("retention.ms", SET, "-7"))
    alter("null value", ("retention.ms", SET, None))
    alter("unknown key", ("no.such", SET, "1"))
    alter("delete unknown key", ("no.such", DELETE, None))
    alter("delete", ("retention.ms", DELETE, None))
    alter("delete unset", ("retention.ms", DELETE, None))
    alter("append to a scalar", ("retention.ms", APPEND, "1"))
    alter("append to a list", ("cleanup.policy", APPEND, "compact"))
    alter("subtract", ("cleanup.policy", SUBTRACT, "compact"))
    alter("twice", ("retention.ms", SET, "1"), ("retention.ms", SET, "2"))
    alter("unknown topic", ("retention.ms", SET, "1"), name="alter-nope")
    alter("empty", name="alter")
    alter("broker dynamic", ("log.cleaner.threads", SET, "1"), kind=4, name="1")
    alter("broker read-only", ("log.dirs", SET, "/x"), kind=4, name="1")
    alter("broker other", ("log.cleaner.threads", SET, "1"), kind=4, name="9")
    alter("unknown resource type", ("a", SET, "1"), kind=77, name="x")
    ask("after", "DESCRIBE_CONFIGS", 4, {"includeSynonyms": True, "resources": [{"resourceType": 2, "resourceName": "alter",
        "configurationKeys": ["retention.ms", "max.message.bytes", "cleanup.policy"]}]})
    ask("old AlterConfigs", "ALTER_CONFIGS", 2, {"resources": [{"resourceType": 2, "resourceName": "alter", "configs": [{"name": "retention.ms", "value": "99"}]}]})
    ask("same resource twice", "INCREMENTAL_ALTER_CONFIGS", 1, {"resources": [{"resourceType": 2, "resourceName": "alter", "configs": [{"name": "retention.ms", "configOperation": 0, "value": "1"}]}] * 2})


@scenario
def producing(ask):
    topic_id = new_topic(ask, "produce", 2, **{"max.message.bytes": "1000"})
    ask("v3", "PRODUCE", 3, produce("produce", (0, {"values": ["a", "b"]})))
    ask("v9", "PRODUCE", 9, produce("produce", (0, {"values": ["c"]}), (1, {"values": ["d"]}), (2, {"values": ["e"]})))
    ask("v13", "PRODUCE", 13, {"acks": 1, "timeoutMs": 1000, "topicData": [{"topicId": topic_id, "partitionData": [{"index": 0, "records": {"values": ["f"]}}]}]})
    ask("v13 unknown id", "PRODUCE", 13, {"acks": 1, "timeoutMs": 1000, "topicData": [{"topicId": STRANGE_ID, "partitionData": [{"index": 0, "records": {"values": ["f"]}}]}]})
    ask("unknown topic", "PRODUCE", 9, produce("produce-nope", (0, {"values": ["a"]})))
    ask("too large", "PRODUCE", 9, produce("produce", (0, {"values": ["x" * 2000]})))
    ask("acks 2", "PRODUCE", 9, produce("produce", (0, {"values": ["a"]}), acks=2))
    ask("bad crc", "PRODUCE", 9, produce("produce", (0, {"values": ["a"], "break_crc": True}), (1, {"values": ["still fine?"]})))
    ask("cut short", "PRODUCE", 9, produce("produce", (0, {"values": ["a"], "cut": 3})), alone=True)
    ask("null records", "PRODUCE", 9, produce("produce", (0, None)), alone=True)
    ask("empty batch", "PRODUCE", 9, produce("produce", (0, {"values": []})), alone=True)
    ask("magic 1", "PRODUCE", 3, produce("produce", (0, {"values": ["a"], "magic": 1})), alone=True)
    ask("zstd at v3", "PRODUCE", 3, produce("produce", (0, {"values": ["a"], "compression": "zstd"})), alone=True)
    ask("zstd at v7", "PRODUCE", 7, produce("produce", (0, {"values": ["a"], "compression": "zstd"})), alone=True)
    ask("base offset not 0", "PRODUCE", 9, produce("produce", (0, {"values": ["a"], "base_offset": 77})), alone=True)
    ask("transactional without id", "PRODUCE", 9, produce("produce", (0, {"values": ["a"], "producer_id": 9, "epoch": 0, "sequence": 0, "transactional": True})), alone=True)
    ask("v2", "PRODUCE", 2, raw="AAEAAAPoAAAAAA==", alone=True)
    ask("negative partition", "PRODUCE", 9, produce("produce", (-1, {"values": ["a"]})), alone=True)
    ask("negative partition fetch", "FETCH", 12, {"maxWaitMs": 10, "topics": [{"topic": "produce", "partitions": [{"partition": -1}]}]}, alone=True)
    new_topic(ask, "produce-append", 1, **{"message.timestamp.type": "LogAppendTime"})
    ask("log append time", "PRODUCE", 9, produce("produce-append", (0, {"values": ["a"], "timestamp": 1000})))
    new_topic(ask, "produce-time", 1, **{"message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "1000"})
    ask("timestamp too old", "PRODUCE", 9, produce("produce-time", (0, {"values": ["a", "b"], "timestamp": 1000})))
    new_topic(ask, "produce-gzip", 1, **{"compression.type": "gzip"})
    ask("recompressed", "PRODUCE", 9, produce("produce-gzip", (0, {"values": ["a" * 500], "compression": "lz4"})))
    ask("recompressed, fetched", "FETCH", 11, {"maxWaitMs": 10, "topics": [{"topic": "produce-gzip", "partitions": [{"partition": 0, "partitionMaxBytes": 9999}]}]})
    ask("acks 0 with an error", "PRODUCE", 9, produce("produce-nope", (0, {"values": ["a"]}), acks=0), conn="zero", send=True)
    ask(None, "API_VERSIONS", 0, conn="zero", send=True)
    ask.recv("acks 0 with an error: then", "zero")


@scenario
def idempotence(ask):
    new_topic(ask, "idempotent", 1)
    def put(label, values, sequence, epoch=0, pid=None):
        return ask(label, "PRODUCE", 9, produce("idempotent", (0, {"values": values, "producer_id": producer if pid is None else pid, "epoch": epoch, "sequence": sequence})))
    for _ in range(200):  # a broker that has just started may still fetch its first block of ids
        if ask(None, "INIT_PRODUCER_ID", 5, {"transactionalId": None, "transactionTimeoutMs": 60000})["body"]["errorCode"] == 0:
            break
    answer = ask("init", "INIT_PRODUCER_ID", 5, {"transactionalId": None, "transactionTimeoutMs": 60000})
    producer = answer["body"]["producerId"]
    ask("init v0", "INIT_PRODUCER_ID", 0, {"transactionalId": None, "transactionTimeoutMs": 60000})
    ask("init with id and epoch", "INIT_PRODUCER_ID", 3, {"transactionalId": None, "transactionTimeoutMs": 60000, "producerId": producer, "producerEpoch": 0})
    ask("init empty transactional id", "INIT_PRODUCER_ID", 5, {"transactionalId": "", "transactionTimeoutMs": 60000})
    for n in range(7):
        put(f"sequence {n}", [f"v{n}"], n)
    put("repeat of the last", ["v6"], 6)
    put("repeat of the fifth last", ["v2"], 2)
    put("repeat beyond the window", ["v1"], 1)
    put("gap", ["v9"], 9)
    put("new epoch not at 0", ["w"], 5, epoch=1)
    put("new epoch at 0", ["w"], 0, epoch=1)
    put("old epoch", ["v7"], 7, epoch=0)
    put("unknown producer at 0", ["u"], 0, pid=987654)
    put("unknown producer at 5", ["u"], 5, pid=987655)
    put("several", ["x1", "x2", "x3"], 1, epoch=1)
    put("part of several", ["x2"], 2, epoch=1)
    put("same start, other count", ["x1"], 1, epoch=1)
    put("sequence wrap start", ["z"], 2147483647, pid=987656)
    put("sequence wrap", ["z"], 0, pid=987656)


@scenario
def fetching(ask):
    topic_id = new_topic(ask, "fetch", 2)
    ask(None, "PRODUCE", 9, produce("fetch", (0, {"values": ["a", "b"]})))
    ask(None, "PRODUCE", 9, produce("fetch", (0, {"values": ["c", "d"]})))
    ask(None, "PRODUCE", 9, produce("fetch", (0, {"values": ["e"]})))
    def fetch(label, offset, version=12, max_bytes=10000, whole=10000, partition=0, **more):
        body = {"maxWaitMs": 50, "minBytes": 1, "maxBytes": whole, "topics": [{"topic": "fetch", "topicId": topic_id, "partitions": [
            {"partition": partition, "fetchOffset": offset, "partitionMaxBytes": max_bytes, "currentLeaderEpoch": -1, **more}]}]}
        ask(label, "FETCH", version, body)
    fetch("v4", 0, version=4)
    fetch("v12", 0)
    fetch("v13", 0, version=13)
    fetch("v17", 0, version=17)
    fetch("v18", 0, version=18)
    fetch("in the middle of a batch", 3)
    fetch("one byte", 0, max_bytes=1)
    fetch("one byte in all", 0, whole=1)
    fetch("zero bytes", 0, max_bytes=0)
    fetch("at the end", 5)
    fetch("past the end", 6)
    fetch("negative", -1)
    fetch("unknown partition", 0, partition=9)
    fetch("leader epoch 0", 0, currentLeaderEpoch=0)
    fetch("leader epoch too new", 0, currentLeaderEpoch=5)
    fetch("diverging epoch", 0, currentLeaderEpoch=0, lastFetchedEpoch=0)
    ask("unknown topic", "FETCH", 12, {"maxWaitMs": 10, "topics": [{"topic": "fetch-nope", "partitions": [{"partition": 0, "partitionMaxBytes": 10}]}]})
    ask("unknown id", "FETCH", 13, {"maxWaitMs": 10, "topics": [{"topicId": STRANGE_ID, "partitions": [{"partition": 0, "partitionMaxBytes": 10}]}]})
    ask("replica id 5", "FETCH", 12, {"maxWaitMs": 10, "replicaId": 5, "topics": [{"topic": "fetch", "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]})


@scenario
def fetch_sessions(ask):
    topic_id = new_topic(ask, "session", 2)
    other_id = new_topic(ask, "session-b", 1)
    ask(None, "PRODUCE", 9, produce("session", (0, {"values": ["a"]})))
    def fetch(label, session, epoch, topics, forgotten=()):
        return ask(label, "FETCH", 13, {"maxWaitMs": 20, "minBytes": 1, "maxBytes": 10000, "sessionId": session, "sessionEpoch": epoch,
            "topics": topics, "forgottenTopicsData": [{"topicId": i, "partitions": p} for i, p in forgotten]})
    def part(topic, partition, offset):
        return {"topicId": topic, "partitions": [{"partition": partition, "fetchOffset": offset, "partitionMaxBytes": 1000}]}
    full = [{"topicId": topic_id, "partitions": [{"partition": p, "fetchOffset": 0, "partitionMaxBytes": 1000} for p in (0, 1)]}]
    session = fetch("new session", 0, 0, full)["body"]["sessionId"]
    fetch("incremental, nothing named, offset unmoved", session, 1, [])
    fetch("incremental, offset moved", session, 2, [part(topic_id, 0, 1)])
    fetch("incremental, nothing new", session, 3, [])
    ask(None, "PRODUCE", 9, produce("session", (0, {"values": ["b"]}), (1, {"values": ["c"]})))
    fetch("incremental, new data", session, 4, [])
    fetch("forget one", session, 5, [part(topic_id, 0, 2)], [(topic_id, [1])])
    fetch("add another topic", session, 6, [part(other_id, 0, 0)])
    fetch("wrong epoch", session, 99, [])
    fetch("unknown session", 123456, 1, [])
    fetch("close", session, -1, [])
    fetch("after close", session, 7, [])
    fetch("sessionless", 0, -1, full)
    session = fetch("session with an unknown id in it", 0, 0, full + [part(STRANGE_ID, 0, 0)])["body"]["sessionId"]
    fetch("incremental with an unknown id in it", session, 1, [])
    fetch("replace: session n, epoch 0", session, 0, full)


@scenario
def list_offsets(ask):
    new_topic(ask, "offsets", 1)
    new_topic(ask, "offsets-empty", 1)
    for n in range(3):
        ask(None, "PRODUCE", 9, produce("offsets", (0, {"values": [f"a{n}", f"b{n}"], "timestamp": 1700000000000 + 1000 * n})))
    def offsets(label, timestamp, topic="offsets", partition=0, version=10, epoch=-1):
        ask(label, "LIST_OFFSETS", version, {"replicaId": -1, "isolationLevel": 0, "topics": [{"name": topic, "partitions": [
            {"partitionIndex": partition, "timestamp": timestamp, "currentLeaderEpoch": epoch}]}]})
    offsets("earliest", -2)
    offsets("latest", -1)
    offsets("max timestamp", -3)
    offsets("earliest local", -4)
    offsets("latest tiered", -5)
    offsets("earliest pending upload, v11", -6, version=11)
    offsets("earliest pending upload, v10", -6)
    offsets("-7", -7)
    offsets("-8", -8, version=11)
    offsets("max timestamp at v6", -3, version=6)
    offsets("local at v7", -4, version=7)
    offsets("exact", 1700000001000)
    offsets("between", 1700000000500)
    offsets("before all", 5)
    offsets("after all", 1800000000000)
    offsets("empty latest", -1, topic="offsets-empty")
    offsets("empty max timestamp", -3, topic="offsets-empty")
    offsets("empty by time", 0, topic="offsets-empty")
    offsets("v1", -1, version=1)
    offsets("unknown partition", -1, partition=4)
    offsets("unknown topic", -1, topic="offsets-nope")
    offsets("leader epoch too new", -1, epoch=9)
    ask("epoch end 0", "OFFSET_FOR_LEADER_EPOCH", 4, {"replicaId": -2, "topics": [{"topic": "offsets", "partitions": [{"partition": 0, "currentLeaderEpoch": -1, "leaderEpoch": 0}]}]})
    ask("epoch end 7", "OFFSET_FOR_LEADER_EPOCH", 4, {"replicaId": -2, "topics": [{"topic": "offsets", "partitions": [{"partition": 0, "currentLeaderEpoch": -1, "leaderEpoch": 7}]}]})
    ask("epoch end, newer leader epoch", "OFFSET_FOR_LEADER_EPOCH", 4, {"replicaId": -2, "topics": [{"topic": "offsets", "partitions": [{"partition": 0, "currentLeaderEpoch": 3, "leaderEpoch": 0}]}]})
    ask("epoch end unknown", "OFFSET_FOR_LEADER_EPOCH", 4, {"replicaId": -2, "topics": [{"topic": "offsets-nope", "partitions": [{"partition": 0, "leaderEpoch": 0}]}]})
    ask("epoch end, empty", "OFFSET_FOR_LEADER_EPOCH", 4, {"replicaId": -2, "topics": [{"topic": "offsets-empty", "partitions": [{"partition": 0, "currentLeaderEpoch": 0, "leaderEpoch": 0}]}]})


@scenario
def delete_records(ask):
    new_topic(ask, "records", 1)
    ask(None, "PRODUCE", 9, produce("records", (0, {"values": ["a", "b", "c"]})))
    def delete(label, offset, topic="records", partition=0):
        ask(label, "DELETE_RECORDS", 2, {"timeoutMs": 5000, "topics": [{"name": topic, "partitions": [{"partitionIndex": partition, "offset": offset}]}]})
    delete("to 1", 1)
    delete("below", 0)
    delete("past the end", 9)
    delete("-2", -2)
    delete("all", -1)
    delete("unknown partition", 0, partition=3)
    delete("unknown topic", 0, topic="records-nope")
    ask("fetch below the start", "FETCH", 12, {"maxWaitMs": 10, "topics": [{"topic": "records", "partitions": [{"partition": 0, "fetchOffset": 0, "partitionMaxBytes": 1000}]}]})
    ask("earliest", "LIST_OFFSETS", 7, {"replicaId": -1, "topics": [{"name": "records", "partitions": [{"partitionIndex": 0, "timestamp": -2}]}]})


@scenario
def cluster(ask):
    ask("v0", "DESCRIBE_CLUSTER", 0, {"includeClusterAuthorizedOperations": True})
    ask("v2", "DESCRIBE_CLUSTER", 2, {"endpointType": 1, "includeFencedBrokers": True})
    ask("v1 controllers", "DESCRIBE_CLUSTER", 1, {"endpointType": 2})
    new_topic(ask, "dtp-a", 3)
    new_topic(ask, "dtp-b", 2)
    ask("topic partitions", "DESCRIBE_TOPIC_PARTITIONS", 0, {"topics": [{"name": "dtp-b"}, {"name": "dtp-a"}, {"name": "dtp-nope"}], "responsePartitionLimit": 2000})
    ask("limit 2", "DESCRIBE_TOPIC_PARTITIONS", 0, {"topics": [{"name": "dtp-a"}, {"name": "dtp-b"}], "responsePartitionLimit": 2})
    ask("cursor", "DESCRIBE_TOPIC_PARTITIONS", 0, {"topics": [{"name": "dtp-a"}, {"name": "dtp-b"}], "responsePartitionLimit": 2, "cursor": {"topicName": "dtp-a", "partitionIndex": 2}})
    ask("negative cursor", "DESCRIBE_TOPIC_PARTITIONS", 0, {"topics": [{"name": "dtp-a"}], "cursor": {"topicName": "dtp-a", "partitionIndex": -2}})
    for _ in range(200):  # until the offsets topic is there
        if ask(None, "FIND_COORDINATOR", 4, {"keyType": 0, "coordinatorKeys": ["g"]})["body"]["coordinators"][0]["errorCode"] == 0:
            break
    ask("coordinator v0", "FIND_COORDINATOR", 0, {"key": "g"})
    ask("coordinator v4", "FIND_COORDINATOR", 4, {"keyType": 0, "coordinatorKeys": ["a", "b"]})
    ask("coordinator type 9", "FIND_COORDINATOR", 4, {"keyType": 9, "coordinatorKeys": ["a"]})
    ask("coordinator empty", "FIND_COORDINATOR", 4, {"keyType": 0, "coordinatorKeys": [""]})
    ask("coordinator v4 none", "FIND_COORDINATOR", 4, {"keyType": 0, "coordinatorKeys": []})
    ask("sasl handshake on plaintext", "SASL_HANDSHAKE", 1, {"mechanism": "PLAIN"}, conn="sasl")
    ask("sasl authenticate on plaintext", "SASL_AUTHENTICATE", 2, {"authBytes": ""}, conn="sasl2")


@scenario
def later(ask):
    """What this broker leaves to a later day: compaction, transactions, and apis that no client here needs."""
    new_topic(ask, "dtp-a", 1)
    ask("log dirs", "DESCRIBE_LOG_DIRS", 4, {"topics": [{"topic": "dtp-a", "partitions": [0]}]})
    ask("acls without authorizer", "DESCRIBE_ACLS", 3, {"resourceTypeFilter": 1, "patternTypeFilter": 1, "operation": 1, "permissionType": 1})
    ask("coordinator v3 transaction", "FIND_COORDINATOR", 3, {"key": "t", "keyType": 1})
    ask("coordinator v6 share", "FIND_COORDINATOR", 6, {"keyType": 2, "coordinatorKeys": ["a"]})
    new_topic(ask, "produce-compact", 1, **{"cleanup.policy": "compact"})
    ask("no key in a compacted topic", "PRODUCE", 9, produce("produce-compact", (0, {"values": ["a"]})))
    new_topic(ask, "records-compact", 1, **{"cleanup.policy": "compact"})
    ask("compacted", "DELETE_RECORDS", 2, {"timeoutMs": 5000, "topics": [{"name": "records-compact", "partitions": [{"partitionIndex": 0, "offset": 0}]}]})


PROTOCOL = [{"name": "range", "metadata": "AAA="}]


@scenario
def groups(ask):
    new_topic(ask, "group-topic", 2)
    for _ in range(200):  # until the coordinator is loaded
        if ask(None, "FIND_COORDINATOR", 4, {"keyType": 0, "coordinatorKeys": ["g1"]})["body"]["coordinators"][0]["errorCode"] == 0:
            probe = ask(None, "OFFSET_FETCH", 8, {"groups": [{"groupId": "g1", "topics": None}]})
            if probe["body"]["groups"][0]["errorCode"] == 0:
                break
    def join(label, member="", group="g1", version=9, timeout=6000, rebalance=3000, instance=None, protocols=PROTOCOL, conn="", kind="consumer", **more):
        return ask(label, "JOIN_GROUP", version, {"groupId": group, "sessionTimeoutMs": timeout, "rebalanceTimeoutMs": rebalance, "memberId": member,
            "groupInstanceId": instance, "protocolType": kind, "protocols": protocols}, conn=conn, **more)
    def sync(label, member, generation, group="g1", assignments=(), instance=None, conn="", kind="consumer", name="range", **more):
        return ask(label, "SYNC_GROUP", 5, {"groupId": group, "generationId": generation, "memberId": member, "groupInstanceId": instance, "protocolType": kind,
            "protocolName": name, "assignments": [{"memberId": m, "assignment": a} for m, a in assignments]}, conn=conn, **more)
    def beat(label, member, generation, group="g1", instance=None, **more):
        return ask(label, "HEARTBEAT", 4, {"groupId": group, "generationId": generation, "memberId": member, "groupInstanceId": instance}, **more)
    def commit(label, member, generation, offset=1, group="g1", topic="group-topic", partition=0, version=9, instance=None, metadata=""):
        return ask(label, "OFFSET_COMMIT", version, {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member, "groupInstanceId": instance, "topics": [
            {"name": topic, "partitions": [{"partitionIndex": partition, "committedOffset": offset, "committedMetadata": metadata}]}]})

    join("session timeout too short", timeout=10)
    join("session timeout too long", timeout=99999999)
    join("empty group", group="")
    join("no protocols", protocols=[])
    join("unknown member", member="who")
    join("v3 joins at once", version=3, group="g-old")
    member = join("first join", conn="a")["body"]["memberId"]
    answer = join("second join", member=member, conn="a")
    generation = answer["body"]["generationId"]
    beat("heartbeat before sync", member, generation)
    commit("commit before sync", member, generation)
    ask("describe before sync", "DESCRIBE_GROUPS", 6, {"groups": ["g1"]})
    sync("sync wrong protocol", member, generation, name="roundrobin", conn="a")
    sync("sync wrong type", member, generation, kind="other", conn="a")
    sync("sync", member, generation, assignments=[(member, "AQI=")], conn="a")
    sync("sync again", member, generation, conn="a")
    beat("heartbeat", member, generation)
    beat("heartbeat old generation", member, generation - 1)
    beat("heartbeat unknown member", "nobody", generation)
    beat("heartbeat unknown group", member, generation, group="g-none")
    commit("commit", member, generation, offset=5, metadata="note")
    commit("commit v10-less unknown topic", member, generation, topic="group-nope")
    commit("commit unknown partition", member, generation, partition=8)
    commit("commit wrong generation", member, generation + 1)
    commit("commit wrong member", "nobody", generation)
    commit("commit simple into an active group", "", -1)
    commit("commit negative offset", member, generation, offset=-5, partition=1)
    commit("commit large metadata", member, generation, metadata="m" * 5000)
    ask("describe", "DESCRIBE_GROUPS", 6, {"groups": ["g1", "g-none"], "includeAuthorizedOperations": True})
    ask("list", "LIST_GROUPS", 5, {"statesFilter": [], "typesFilter": []})
    for version in range(1, 4):
        ask("list", "LIST_GROUPS", version)
    ask("list stable", "LIST_GROUPS", 5, {"statesFilter": ["sTable"], "typesFilter": ["Classic"]})
    ask("list nonsense", "LIST_GROUPS", 5, {"statesFilter": ["Nonsense"], "typesFilter": ["Nonsense"]})
    join("other protocol", group="g1", protocols=[{"name": "sticky", "metadata": ""}], conn="x")
    join("other type", group="g1", kind="connect", conn="x")
    # A second member: the first learns of it by its heartbeat.
    second = join("second member, first join", conn="b")["body"]["memberId"]
    join(None, member=second, conn="b", send=True)
    for _ in range(100):
        if ask(None, "HEARTBEAT", 4, {"groupId": "g1", "generationId": generation, "memberId": member})["body"]["errorCode"] == 27:
            break
    beat("heartbeat while preparing", member, generation)
    commit("commit while preparing", member, generation, offset=6)
    sync("sync while preparing", member, generation, conn="a")
    join("rejoin", member=member, conn="a")
    answer = ask.recv("second member joined", "b")
    generation = answer["body"]["generationId"]
    sync(None, second, generation, conn="b", send=True)
    commit("commit while completing", member, generation)
    sync("leader's sync", member, generation, assignments=[(member, "AQ=="), (second, "Ag==")], conn="a")
    ask.recv("follower's sync", "b")
    ask("leave one, v5", "LEAVE_GROUP", 5, {"groupId": "g1", "members": [{"memberId": second, "groupInstanceId": None, "reason": "done"}, {"memberId": "nobody", "groupInstanceId": None}]}, conn="b")
    beat("heartbeat after the leave", member, generation)
    ask("delete while in use", "DELETE_GROUPS", 2, {"groupsNames": ["g1", "g-none"]})
    ask("offset delete while in use", "OFFSET_DELETE", 0, {"groupId": "g1", "topics": [{"name": "group-topic", "partitions": [{"partitionIndex": 0}]}]})
    ask("leave, v2", "LEAVE_GROUP", 2, {"groupId": "g1", "memberId": member}, conn="a")
    ask("leave unknown, v2", "LEAVE_GROUP", 2, {"groupId": "g1", "memberId": member}, conn="a")
    ask("leave unknown group", "LEAVE_GROUP", 5, {"groupId": "g-none", "members": [{"memberId": "x", "groupInstanceId": None}]})
    ask("describe empty", "DESCRIBE_GROUPS", 6, {"groups": ["g1"]})
    ask("describe v5 unknown", "DESCRIBE_GROUPS", 5, {"groups": ["g-none"]})
    commit("commit simple into an empty group", "", -1, offset=9)
    commit("commit simple into a new group", "", -1, group="g-simple")
    commit("commit to a new group with a generation", "m", 3, group="g-never")
    ask("describe simple", "DESCRIBE_GROUPS", 6, {"groups": ["g-simple"]})
    def offsets(label, group="g1", version=9, topics=None, **more):
        ask(label, "OFFSET_FETCH", version, {"groups": [{"groupId": group, "topics": topics, **more}], "requireStable": False})
    offsets("offsets, all")
    offsets("offsets, some", topics=[{"name": "group-topic", "partitionIndexes": [0, 1, 7]}, {"name": "group-nope", "partitionIndexes": [0]}])
    offsets("offsets, no topics", topics=[])
    offsets("offsets, unknown group", group="g-none")
    offsets("offsets, unknown member", memberId="nobody", memberEpoch=3)
    ask("offsets v1", "OFFSET_FETCH", 1, {"groupId": "g-none", "topics": [{"name": "group-topic", "partitionIndexes": [0]}]})
    ask("offsets v7 all", "OFFSET_FETCH", 7, {"groupId": "g1", "topics": None})
    ask("offset delete", "OFFSET_DELETE", 0, {"groupId": "g1", "topics": [{"name": "group-topic", "partitions": [{"partitionIndex": 0}, {"partitionIndex": 6}]}, {"name": "group-nope", "partitions": [{"partitionIndex": 0}]}]})
    ask("offset delete, unknown group", "OFFSET_DELETE", 0, {"groupId": "g-none", "topics": []})
    ask("delete groups", "DELETE_GROUPS", 2, {"groupsNames": ["g1", "g-none", ""]})
    ask("offsets after delete", "OFFSET_FETCH", 9, {"groups": [{"groupId": "g1", "topics": None}]})
    # Static membership
    first = join("static join", group="g-static", instance="i1", conn="s1")["body"]
    sync("static sync", first["memberId"], first["generationId"], group="g-static", instance="i1", assignments=[(first["memberId"], "AQ==")], conn="s1")
    again = join("static rejoin without member id", group="g-static", instance="i1", conn="s2")["body"]
    beat("static: the old member id", first["memberId"], again["generationId"], group="g-static", instance="i1")
    sync("static sync again", again["memberId"], again["generationId"], group="g-static", instance="i1", conn="s2")
    commit("static: old member commits", first["memberId"], again["generationId"], group="g-static", instance="i1")
    ask("static describe", "DESCRIBE_GROUPS", 6, {"groups": ["g-static"]})
    ask("static leave by instance", "LEAVE_GROUP", 5, {"groupId": "g-static", "members": [{"memberId": "", "groupInstanceId": "i1"}, {"memberId": "", "groupInstanceId": "i9"}]})


@scenario
def bad_input(ask):
    ask("truncated body", "METADATA", 12, raw="AAAA", conn="t")
    ask("huge count", "METADATA", 1, raw="f////w==", conn="h")
    ask("trailing bytes", "LIST_GROUPS", 0, raw="AAAAAAAAAAA=", conn="r")
