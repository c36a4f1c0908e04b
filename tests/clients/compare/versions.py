"""Every api at every version: what is usual, and what is wrong (unknown topics, stale epochs, null and empty arrays, entries named twice).

Bodies name more than a version has: what it lacks is left out on the way.
"""

from scenarios import NULL_ID, PROTOCOL, STRANGE_ID, new_topic, produce, scenario

BATCH = {"values": ["a", "b"], "timestamp": 1_700_000_000_000}


def each(first, last):
    return range(first, last + 1)


def loaded(ask):
    """Until the coordinator answers for every group here."""
    groups = ["versions-group", "versions-offsets-only", "versions-no-group", *(f"versions-joined-{v}" for v in each(0, 9))]
    for _ in range(300):
        found = ask(None, "FIND_COORDINATOR", 4, {"keyType": 0, "coordinatorKeys": groups})["body"]["coordinators"]
        offsets = ask(None, "OFFSET_FETCH", 8, {"groups": [{"groupId": group, "topics": None} for group in groups]})["body"]["groups"]
        producer = ask(None, "INIT_PRODUCER_ID", 4, {"transactionalId": None, "transactionTimeoutMs": 1000, "producerId": -1, "producerEpoch": -1})["body"]
        if not any(one["errorCode"] for one in [*found, *offsets, producer]):
            return
    raise AssertionError("the groups are not loaded")


@scenario
def produce_versions(ask):
    topic = new_topic(ask, "versions-produce")
    def one(index, topic_id=topic, name="versions-produce", records=BATCH):
        return {"name": name, "topicId": topic_id, "partitionData": [{"index": index, "records": records}]}
    def send(label, version, *topics, **more):
        ask(label, "PRODUCE", version, {"acks": -1, "timeoutMs": 5000, "topicData": list(topics), **more})
    for v in each(3, 13):
        send("usual", v, one(0))
        send("unknown partition", v, one(7))
        send("unknown topic", v, one(0, STRANGE_ID, "versions-nowhere"))
        send("no topics", v)
        send("acks of two", v, one(0), acks=2)
        send("one that is stored and one that is not", v, one(0), one(0, STRANGE_ID, "versions-nowhere"))
        send("a wrong checksum", v, one(0, records={**BATCH, "break_crc": True}))


@scenario
def fetch_versions(ask):
    topic = new_topic(ask, "versions-fetch", 2)
    ask(None, "PRODUCE", 12, produce("versions-fetch", (0, BATCH)))
    def part(partition, offset=0, epoch=-1, size=100000):
        return {"partition": partition, "fetchOffset": offset, "currentLeaderEpoch": epoch, "partitionMaxBytes": size, "logStartOffset": -1, "lastFetchedEpoch": -1}
    def fetch(label, v, *parts, topic_id=topic, name="versions-fetch", **more):
        topics = [{"topic": name, "topicId": topic_id, "partitions": list(parts)}] if parts else []
        ask(label, "FETCH", v, {"maxWaitMs": 0, "minBytes": 0, "maxBytes": 1000000, "sessionId": 0, "sessionEpoch": -1, "topics": topics, "forgottenTopicsData": [], **more})
    for v in each(4, 18):
        fetch("usual", v, part(0))
        fetch("empty partition", v, part(1))
        fetch("beyond the end", v, part(0, 99))
        fetch("before the start", v, part(0, -3))
        fetch("unknown partition", v, part(5))
        fetch("unknown topic", v, part(0), topic_id=STRANGE_ID, name="versions-nowhere")
        fetch("newer epoch", v, part(0, epoch=50))
        fetch("a few bytes", v, part(0, size=1), maxBytes=1)
        fetch("read committed", v, part(0), isolationLevel=1)
        fetch("no topics", v)
        fetch("a session nobody has", v, part(0), sessionId=123456, sessionEpoch=1)


@scenario
def offset_versions(ask):
    new_topic(ask, "versions-offsets")
    ask(None, "PRODUCE", 12, produce("versions-offsets", (0, BATCH)))
    def look(label, v, timestamp, partition=0, name="versions-offsets", epoch=-1):
        ask(label, "LIST_OFFSETS", v, {"replicaId": -1, "isolationLevel": 0, "timeoutMs": 1000, "topics": [
            {"name": name, "partitions": [{"partitionIndex": partition, "timestamp": timestamp, "currentLeaderEpoch": epoch}]}]})
    for v in each(1, 11):
        for what, timestamp in [("latest", -1), ("earliest", -2), ("of the largest timestamp", -3), ("earliest local", -4), ("latest tiered", -5),
                                ("earliest pending upload", -6), ("nonsense", -77), ("time 0", 0), ("far away", 1 << 60)]:
            look(what, v, timestamp)
        look("unknown partition", v, -1, partition=3)
        look("unknown topic", v, -1, name="versions-nowhere")
        look("newer epoch", v, -1, epoch=50)
        ask("no topics", "LIST_OFFSETS", v, {"replicaId": -1, "topics": []})
    for v in each(2, 4):
        for what, name, partition, current, epoch in [("usual", "versions-offsets", 0, -1, 0), ("future", "versions-offsets", 0, -1, 99), ("before all", "versions-offsets", 0, -1, -5),
                                                      ("newer current epoch", "versions-offsets", 0, 50, 0), ("unknown topic", "versions-nowhere", 0, -1, 0),
                                                      ("unknown partition", "versions-offsets", 9, -1, 0)]:
            ask(what, "OFFSET_FOR_LEADER_EPOCH", v, {"replicaId": -1, "topics": [
                {"topic": name, "partitions": [{"partition": partition, "currentLeaderEpoch": current, "leaderEpoch": epoch}]}]})
    for v in each(0, 2):
        for what, name, partition, offset in [("one record", "versions-offsets", 0, 1), ("beyond the end", "versions-offsets", 0, 99), ("all", "versions-offsets", 0, -1),
                                              ("again", "versions-offsets", 0, 0), ("negative", "versions-offsets", 0, -9), ("unknown topic", "versions-nowhere", 0, 0),
                                              ("unknown partition", "versions-offsets", 9, 0)]:
            ask(what, "DELETE_RECORDS", v, {"timeoutMs": 3000, "topics": [{"name": name, "partitions": [{"partitionIndex": partition, "offset": offset}]}]})


@scenario
def metadata_versions(ask):
    topic = new_topic(ask, "versions-metadata", 2)
    def named(name, topic_id=NULL_ID):
        return {"name": name, "topicId": topic_id}
    for v in each(0, 13):
        quiet = {"allowAutoTopicCreation": False}
        ask("usual", "METADATA", v, {"topics": [named("versions-metadata")], **quiet})
        ask("twice", "METADATA", v, {"topics": [named("versions-metadata")] * 2, **quiet})
        if v >= 1:
            ask("none", "METADATA", v, {"topics": [], **quiet})
            ask("all", "METADATA", v, {"topics": None, **quiet}, only="versions-metadata")
        if v >= 4:
            ask("unknown", "METADATA", v, {"topics": [named("versions-nowhere")], **quiet})
            ask("no name for a topic", "METADATA", v, {"topics": [named("a/b")], **quiet})
        if v >= 12:
            ask("by id", "METADATA", v, {"topics": [named(None, topic)], **quiet})
            ask("unknown id", "METADATA", v, {"topics": [named(None, STRANGE_ID)], **quiet})
    for v in each(0, 2):
        ask("usual", "DESCRIBE_CLUSTER", v, {})
        ask("with what may be done", "DESCRIBE_CLUSTER", v, {"includeClusterAuthorizedOperations": True})
        ask("controllers", "DESCRIBE_CLUSTER", v, {"endpointType": 2})
        ask("fenced too", "DESCRIBE_CLUSTER", v, {"includeFencedBrokers": True})


@scenario
def topic_versions(ask):
    def topic(name, partitions=1, replication=1, configs=(), assignments=()):
        return {"name": name, "numPartitions": partitions, "replicationFactor": replication,
                "configs": [{"name": key, "value": value} for key, value in configs], "assignments": list(assignments)}
    for v in each(2, 7):
        def create(label, *topics, **more):
            ask(label, "CREATE_TOPICS", v, {"timeoutMs": 10000, "topics": list(topics), **more})
        create("usual", topic(f"versions-created-{v}", 2))
        create("there already", topic(f"versions-created-{v}"))
        create("only checked", topic(f"versions-checked-{v}"), validateOnly=True)
        create("named twice", topic("versions-twice"), topic("versions-twice"))
        create("no partitions", topic("versions-none", 0))
        create("more replicas than brokers", topic("versions-three", 1, 3))
        create("an unknown config", topic("versions-config", configs=[("no.such.config", "1")]))
        create("a config that is no number", topic("versions-config", configs=[("retention.ms", "soon")]))
        create("a name that cannot be", topic("a b"))
        create("an empty name", topic(""))
        create("none")
        create("a broker nobody has", topic("versions-placed", -1, -1, assignments=[{"partitionIndex": 0, "brokerIds": [77]}]))
        create("placed and counted", topic("versions-placed", 1, 1, assignments=[{"partitionIndex": 0, "brokerIds": [1]}]))
        create("placed", topic(f"versions-placed-{v}", -1, -1, assignments=[{"partitionIndex": 0, "brokerIds": [1]}]))
    for v in each(0, 3):
        def grow(label, name, count, assignments=None, **more):
            ask(label, "CREATE_PARTITIONS", v, {"timeoutMs": 10000, "topics": [{"name": name, "count": count, "assignments": assignments}], **more})
        grow("usual", f"versions-created-{v + 3}", 3)
        grow("as many", f"versions-created-{v + 3}", 3)
        grow("fewer", f"versions-created-{v + 3}", 1)
        grow("only checked", f"versions-created-{v + 3}", 5, validateOnly=True)
        grow("unknown", "versions-nowhere", 3)
        grow("placed where nobody is", f"versions-created-{v + 3}", 4, [{"brokerIds": [77]}])
        ask("none", "CREATE_PARTITIONS", v, {"timeoutMs": 10000, "topics": []})
    for v in each(1, 6):
        def delete(label, *names, **more):
            ask(label, "DELETE_TOPICS", v, {"timeoutMs": 10000, "topicNames": list(names), "topics": [{"name": name, "topicId": NULL_ID} for name in names], **more})
        delete("usual", f"versions-created-{v + 1}")
        delete("again", f"versions-created-{v + 1}")
        delete("unknown", "versions-nowhere")
        delete("none")


@scenario
def config_versions(ask):
    new_topic(ask, "versions-configs", **{"retention.ms": "7000"})
    for v in each(1, 4):
        def describe(label, kind, name, keys=("retention.ms",), **more):
            ask(label, "DESCRIBE_CONFIGS", v, {"resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": keys and list(keys)}], **more})
        describe("usual", 2, "versions-configs")
        describe("with synonyms", 2, "versions-configs", includeSynonyms=True)
        describe("no key", 2, "versions-configs", ())
        describe("unknown key", 2, "versions-configs", ("no.such.config",))
        describe("unknown topic", 2, "versions-nowhere")
        describe("no name", 2, "")
        describe("a broker nobody has", 4, "77", ("num.partitions",))
        describe("a broker that is no number", 4, "one", ("num.partitions",))
        describe("a kind nobody has", 99, "x")
    for v in each(0, 1):
        def alter(label, kind, name, configs, **more):
            ask(label, "INCREMENTAL_ALTER_CONFIGS", v, {"resources": [{"resourceType": kind, "resourceName": name, "configs": [
                {"name": key, "configOperation": operation, "value": value} for key, operation, value in configs]}], **more})
        alter("set", 2, "versions-configs", [("retention.ms", 0, "8000")])
        alter("only checked", 2, "versions-configs", [("retention.ms", 0, "9000")], validateOnly=True)
        alter("delete", 2, "versions-configs", [("retention.ms", 1, None)])
        alter("append to what is no list", 2, "versions-configs", [("retention.ms", 2, "1")])
        alter("the same key twice", 2, "versions-configs", [("retention.ms", 0, "1"), ("retention.ms", 0, "2")])
        alter("null", 2, "versions-configs", [("retention.ms", 0, None)])
        alter("no number", 2, "versions-configs", [("retention.ms", 0, "soon")])
        alter("unknown key", 2, "versions-configs", [("no.such.config", 0, "1")])
        alter("unknown topic", 2, "versions-nowhere", [("retention.ms", 0, "1")])
        ask("nothing", "INCREMENTAL_ALTER_CONFIGS", v, {"resources": []})


@scenario
def group_versions(ask):
    topic = new_topic(ask, "versions-groups")
    loaded(ask)
    for v in each(0, 6):
        for what, kind, key in [("a group", 0, "versions-group"), ("no name", 0, ""), ("a kind nobody has", 9, "x")]:
            if kind == 0 or v >= 1:
                ask(what, "FIND_COORDINATOR", v, {"key": key, "keyType": kind, "coordinatorKeys": [key]})
    for v in each(2, 10):
        def commit(label, group="versions-offsets-only", generation=-1, member="", name="versions-groups", topic_id=topic, partition=0, metadata="m"):
            ask(label, "OFFSET_COMMIT", v, {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member, "groupInstanceId": None, "retentionTimeMs": -1, "topics": [
                {"name": name, "topicId": topic_id, "partitions": [{"partitionIndex": partition, "committedOffset": v, "committedMetadata": metadata}]}]})
        commit("without a group")
        commit("a generation of no group", generation=3, member="who")
        commit("unknown topic", name="versions-nowhere", topic_id=STRANGE_ID)
        commit("unknown partition", partition=9)
        commit("no group", group="")
        commit("null metadata", metadata=None)
        ask("no topics", "OFFSET_COMMIT", v, {"groupId": "versions-offsets-only", "generationIdOrMemberEpoch": -1, "memberId": "", "groupInstanceId": None, "topics": []})
    for v in each(1, 10):
        def offsets(label, group, name="versions-groups", topic_id=topic, everything=False, **more):
            topics = None if everything else [{"name": name, "topicId": topic_id, "partitionIndexes": [0, 1]}]
            ask(label, "OFFSET_FETCH", v, {"groupId": group, "topics": topics, "groups": [{"groupId": group, "memberId": None, "memberEpoch": -1, "topics": topics}], **more})
        offsets("usual", "versions-offsets-only")
        offsets("a group nobody has", "versions-no-group")
        offsets("unknown topic", "versions-offsets-only", "versions-nowhere", STRANGE_ID)
        if v >= 2:
            offsets("all", "versions-offsets-only", everything=True)
        if v >= 7:
            offsets("stable", "versions-offsets-only", requireStable=True)
    for v in each(0, 9):
        group = f"versions-joined-{v}"
        def join(label, member="", name=group, **more):
            return ask(label, "JOIN_GROUP", v, {"groupId": name, "sessionTimeoutMs": 6000, "rebalanceTimeoutMs": 1000, "memberId": member, "groupInstanceId": None,
                                                "protocolType": "consumer", "protocols": PROTOCOL, **more})["body"]
        answer = join("first")
        if answer["errorCode"] == 79:
            answer = join("second", answer["memberId"])
        member, generation = answer["memberId"], answer["generationId"]
        join("a member nobody knows", "who")
        join("no group", name="")
        join("a session too short", sessionTimeoutMs=1)
        sync = {"groupId": group, "generationId": generation, "memberId": member, "groupInstanceId": None, "protocolType": "consumer", "protocolName": "range",
                "assignments": [{"memberId": member, "assignment": "AQI="}]}
        older = min(v, 5)
        ask(f"member of {v}, other generation", "SYNC_GROUP", older, {**sync, "generationId": generation + 1})
        ask(f"member of {v}", "SYNC_GROUP", older, sync)
        ask(f"member of {v}", "HEARTBEAT", min(v, 4), {"groupId": group, "generationId": generation, "memberId": member, "groupInstanceId": None})
        ask(f"member of {v}, other generation", "HEARTBEAT", min(v, 4), {"groupId": group, "generationId": generation + 1, "memberId": member, "groupInstanceId": None})
        ask(f"member of {v}", "DESCRIBE_GROUPS", min(v, 6), {"groups": [group, "versions-no-group"]})
        ask(f"of {v}, has members", "DELETE_GROUPS", min(v, 3), {"groupsNames": [group]})
        ask(f"of {v}, a stranger", "LEAVE_GROUP", older, {"groupId": group, "memberId": "who", "members": [{"memberId": "who", "groupInstanceId": None}]})
        ask(f"member of {v}", "LEAVE_GROUP", older, {"groupId": group, "memberId": member, "members": [{"memberId": member, "groupInstanceId": None}]})
        ask(f"of {v}, left", "HEARTBEAT", min(v, 4), {"groupId": group, "generationId": generation, "memberId": member, "groupInstanceId": None})
        ask(f"of {v}", "DELETE_GROUPS", min(v, 3), {"groupsNames": [group, "versions-no-group"]})
    for v in each(4, 5):
        ask("a state nobody is in", "LIST_GROUPS", v, {"statesFilter": ["Dead"], "typesFilter": []})
    for v in each(0, 5):
        ask("idempotent", "INIT_PRODUCER_ID", v, {"transactionalId": None, "transactionTimeoutMs": 1000, "producerId": -1, "producerEpoch": -1})
        if v >= 3:
            ask("a producer nobody knows", "INIT_PRODUCER_ID", v, {"transactionalId": None, "transactionTimeoutMs": 1000, "producerId": 5, "producerEpoch": 2})
    for v in each(0, 1):
        ask("a mechanism nobody has", "SASL_HANDSHAKE", v, {"mechanism": "NONE"}, alone=True)
    for v in each(0, 2):
        ask("unasked", "SASL_AUTHENTICATE", v, {"authBytes": "AA=="}, alone=True)
