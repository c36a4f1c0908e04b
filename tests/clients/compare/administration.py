"""What administrators ask: every config, quotas, log folders, the cluster."""

from scenarios import NULL_ID, STRANGE_ID, new_topic, produce, scenario


@scenario
def all_configs(ask):
    """Every config there is, with type, source, synonyms and whether it can be altered."""
    def describe(label, kind, name):
        ask(label, "DESCRIBE_CONFIGS", 4, {"includeSynonyms": True, "resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": None}]})
    new_topic(ask, "all-configs", 1)
    describe("broker", 4, "1")
    describe("topic", 2, "all-configs")
    describe("group", 32, "all-configs")
    describe("subscription", 16, "all-configs")


@scenario
def old_alter_configs(ask):
    """AlterConfigs replaces all that a resource has."""
    new_topic(ask, "replace", 1)
    def replace(label, kind, name, *configs, version=2, validate=False, **more):
        ask(label, "ALTER_CONFIGS", version, {"validateOnly": validate, "resources": [{"resourceType": kind, "resourceName": name,
            "configs": [{"name": key, "value": value} for key, value in configs]}]}, **more)
    def seen(label, kind, name, *keys, until=None):
        for _ in range(100):
            answer = ask(None, "DESCRIBE_CONFIGS", 4, {"resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": list(keys)}]})
            if until is None or until in {config["value"] for config in answer["body"]["results"][0]["configs"]}:
                break
        ask(label, "DESCRIBE_CONFIGS", 4, {"includeSynonyms": True, "resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": list(keys)}]})
    replace("two", 2, "replace", ("retention.ms", "1000"), ("cleanup.policy", "delete"))
    seen("two are there", 2, "replace", "retention.ms", "retention.bytes", "cleanup.policy", until="1000")
    replace("validate only", 2, "replace", ("retention.ms", "2000"), validate=True)
    replace("v0, another", 2, "replace", ("retention.bytes", "5000"), version=0)
    seen("only the other is there", 2, "replace", "retention.ms", "retention.bytes", "cleanup.policy", until="5000")
    replace("v1, nothing", 2, "replace", version=1)
    replace("null", 2, "replace", ("retention.ms", None))
    replace("unknown key", 2, "replace", ("no.such", "1"))
    replace("bad value", 2, "replace", ("retention.ms", "soon"))
    replace("twice", 2, "replace", ("retention.ms", "1"), ("retention.ms", "2"))
    replace("unknown topic", 2, "replace-nope", ("retention.ms", "1"))
    replace("no topic", 2, "", ("retention.ms", "1"))
    replace("broker", 4, "1", ("log.retention.ms", "7777777"))
    seen("broker's are there", 4, "1", "log.retention.ms", "num.io.threads", until="7777777")
    replace("broker, read-only", 4, "1", ("log.dirs", "/x"))
    replace("broker, nothing", 4, "1")
    replace("another broker", 4, "9", ("log.retention.ms", "1"))
    replace("all brokers, without what must stay", 4, "", ("log.retention.ms", "1"))
    replace("logger", 8, "1", ("root", "INFO"))
    replace("subscription", 16, "replace", ("interval.ms", "2000"))
    replace("subscription, bad", 16, "replace", ("interval.ms", "2"))
    replace("subscription, nothing", 16, "replace")
    replace("group", 32, "replace", ("consumer.heartbeat.interval.ms", "6000"))
    replace("group, bad", 32, "replace", ("consumer.heartbeat.interval.ms", "6"))
    replace("group, nothing", 32, "replace")
    replace("unknown type", 77, "x")
    ask("same resource twice", "ALTER_CONFIGS", 2, {"resources": [{"resourceType": 2, "resourceName": "replace", "configs": [{"name": "retention.ms", "value": "1"}]}] * 2})


@scenario
def config_resources(ask):
    def alter(label, kind, name, *configs, validate=False):
        ask(label, "INCREMENTAL_ALTER_CONFIGS", 1, {"validateOnly": validate, "resources": [{"resourceType": kind, "resourceName": name,
            "configs": [{"name": key, "configOperation": operation, "value": value} for key, operation, value in configs]}]})
    def describe(label, kind, name, *keys):
        ask(label, "DESCRIBE_CONFIGS", 4, {"includeSynonyms": True, "resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": list(keys)}]})
    def listed(label, types, version=1):
        ask(label, "LIST_CONFIG_RESOURCES", version, {"resourceTypes": types} if version else {})
    SET, DELETE, APPEND = range(3)
    GROUP, METRICS, LOGGER = 32, 16, 8
    alter("group, only looked at", GROUP, "resource-g", ("consumer.session.timeout.ms", SET, "50000"), validate=True)
    alter("group", GROUP, "resource-g", ("consumer.session.timeout.ms", SET, "50000"), ("share.isolation.level", SET, "read_committed"))
    alter("subscription", METRICS, "resource-s", ("interval.ms", SET, "1000"), ("metrics", SET, "a.,a.,b."), ("match", SET, "client_id=a.*"))
    for _ in range(100):  # a change may take effect a little later
        if len(ask(None, "LIST_CONFIG_RESOURCES", 1, {"resourceTypes": [GROUP, METRICS]})["body"]["configResources"]) >= 2:
            break
    describe("group, described", GROUP, "resource-g", "consumer.session.timeout.ms", "share.isolation.level", "streams.assignor.name")
    describe("subscription, described", METRICS, "resource-s")
    listed("groups and subscriptions", [GROUP, METRICS])
    listed("brokers and loggers", [4, LOGGER])
    listed("unknown type", [77])
    listed("v0", [], version=0)
    for name, value in (("consumer.session.timeout.ms", "5"), ("consumer.heartbeat.interval.ms", "x"), ("share.delivery.count.limit", "100"), ("share.auto.offset.reset", "xx"),
                        ("share.auto.offset.reset", "by_duration:PT1H"), ("streams.num.standby.replicas", "3"), ("streams.assignor.name", "xx"),
                        ("errors.deadletterqueue.topic.name", "__x"), ("no.such", "1")):
        alter(f"group, {name}={value}", GROUP, "resource-h", (name, SET, value))
    for name, value in (("interval.ms", "99"), ("interval.ms", "x"), ("match", "foo=bar"), ("match", "client_id=["), ("no.such", "1")):
        alter(f"subscription, {name}={value}", METRICS, "resource-t", (name, SET, value))
    alter("group, append", GROUP, "resource-h", ("streams.rack.aware.assignment.tags", APPEND, "x"))
    alter("subscription, append", METRICS, "resource-s", ("metrics", APPEND, "c."))
    alter("group without a name", GROUP, "", ("consumer.session.timeout.ms", SET, "50000"))
    alter("subscription without a name", METRICS, "", ("interval.ms", SET, "1000"))
    alter("logger, unknown", LOGGER, "1", ("no.such", SET, "INFO"))
    alter("logger of another", LOGGER, "2", ("root", SET, "INFO"))
    alter("logger, append", LOGGER, "1", ("root", APPEND, "INFO"))
    alter("logger, an unknown level", LOGGER, "1", ("root", SET, "LOUD"))
    alter("logger, taken back", LOGGER, "1", ("root", DELETE, None))
    alter("logger, only looked at", LOGGER, "1", ("root", SET, "TRACE"), validate=True)
    alter("logger", LOGGER, "1", ("root", SET, "WARN"))
    describe("logger, described", LOGGER, "1", "root")
    describe("group without a name, described", GROUP, "")
    describe("subscription without a name, described", METRICS, "")
    describe("loggers of another", LOGGER, "2")
    describe("loggers of nobody", LOGGER, "")
    alter("broker, an append to no list", 4, "1", ("log.retention.ms", APPEND, "1"))
    alter("broker, what it must not have", 4, "1", ("min.insync.replicas", SET, "1"))
    alter("brokers, what they must have", 4, "", ("min.insync.replicas", DELETE, None))
    alter("group, taken back", GROUP, "resource-g", ("consumer.session.timeout.ms", DELETE, None), ("share.isolation.level", DELETE, None))
    alter("subscription, taken back", METRICS, "resource-s", ("interval.ms", DELETE, None), ("metrics", DELETE, None), ("match", DELETE, None))


@scenario
def client_quotas(ask):
    def entity(*named):
        return [{"entityType": kind, "entityName": name} for kind, name in named]
    def entry(named, **ops):
        return {"entity": entity(*named), "ops": [{"key": key, "value": value or 0.0, "remove": value is None} for key, value in ops.items()]}
    def alter(label, *entries, version=1, validate=False):
        ask(label, "ALTER_CLIENT_QUOTAS", version, {"entries": list(entries), "validateOnly": validate})
    def describe(label, *components, strict=False, version=1):
        ask(label, "DESCRIBE_CLIENT_QUOTAS", version, {"strict": strict, "components": [{"entityType": kind, "matchType": how, "match": name} for kind, how, name in components]})
    EXACT, DEFAULT, ANY = range(3)
    user, client, ip = ("user", "quota-u"), ("client-id", "quota-c"), ("ip", "10.9.8.7")
    alter("v0", entry([user], producer_byte_rate=1024.0), version=0)
    alter("several", entry([user, client], consumer_byte_rate=2048.0), entry([("client-id", None)], request_percentage=12.5, controller_mutation_rate=3.0), entry([ip], connection_creation_rate=7.0))
    for _ in range(100):  # a change may take effect a little later
        if ask(None, "DESCRIBE_CLIENT_QUOTAS", 1, {"strict": True, "components": [{"entityType": "ip", "matchType": 2, "match": None}]})["body"]["entries"]:
            break
    describe("users, v0", ("user", ANY, None), version=0)
    describe("users, strict", ("user", ANY, None), strict=True)
    describe("one user", ("user", EXACT, "quota-u"), strict=True)
    describe("user and client", ("user", EXACT, "quota-u"), ("client-id", EXACT, "quota-c"))
    describe("default client", ("client-id", DEFAULT, None), strict=True)
    describe("address", ("ip", EXACT, "10.9.8.7"))
    describe("nobody", ("user", EXACT, "quota-nobody"))
    describe("all", strict=True)
    describe("exact without a name", ("user", EXACT, None))
    describe("default with a name", ("user", DEFAULT, "x"))
    describe("any with a name", ("user", ANY, "x"))
    describe("unknown match", ("user", 9, None))
    describe("twice", ("user", ANY, None), ("user", ANY, None))
    describe("unknown type", ("host", ANY, None))
    describe("empty type", ("", ANY, None))
    describe("user and address", ("user", ANY, None), ("ip", ANY, None))
    alter("validate only", entry([("user", "quota-dry")], producer_byte_rate=1.0), validate=True)
    alter("unknown key", entry([user], no_such=1.0))
    alter("key of another", entry([user], connection_creation_rate=1.0))
    alter("nothing", entry([user], producer_byte_rate=0.0))
    alter("less than nothing", entry([user], producer_byte_rate=-1.0))
    alter("half a byte", entry([user], producer_byte_rate=0.5))
    alter("too many", entry([ip], connection_creation_rate=1e12))
    alter("user and address", entry([user, ip], producer_byte_rate=1.0))
    alter("unknown type", entry([("host", "x")], producer_byte_rate=1.0))
    alter("empty name", entry([("user", "")], producer_byte_rate=1.0))
    alter("nobody", entry([], producer_byte_rate=1.0))
    alter("no address", entry([("ip", "300.1.2.3")], connection_creation_rate=1.0))
    alter("the same twice", entry([user], producer_byte_rate=1024.0), entry([user], producer_byte_rate=1024.0))
    alter("take back what is not there", entry([user], request_percentage=None))
    alter("take back", entry([user], producer_byte_rate=None), entry([user, client], consumer_byte_rate=None),
          entry([("client-id", None)], request_percentage=None, controller_mutation_rate=None), entry([ip], connection_creation_rate=None))


@scenario
def log_dirs(ask):
    new_topic(ask, "dirs", 2)
    ask(None, "PRODUCE", 9, produce("dirs", (0, {"values": ["a", "b"]})))
    asked = {"topics": [{"topic": "dirs", "partitions": [0, 1, 7]}, {"topic": "dirs-nope", "partitions": [0]}]}
    folder = ask(None, "DESCRIBE_LOG_DIRS", 4, asked)["body"]["results"][0]["logDir"]
    ask.names[folder] = "<folder>"
    for version in range(1, 6):
        ask(f"v{version}", "DESCRIBE_LOG_DIRS", version, asked)
    ask("no topics", "DESCRIBE_LOG_DIRS", 5, {"topics": []})
    def move(label, path, *topics, version=2):
        ask(label, "ALTER_REPLICA_LOG_DIRS", version, {"dirs": [{"path": path, "topics": [{"name": name, "partitions": partitions} for name, partitions in topics]}]})
    move("where it is", folder, ("dirs", [0, 1]))
    move("v1", folder, ("dirs", [1]), version=1)
    move("unknown partition", folder, ("dirs", [7]))
    move("unknown topic", folder, ("dirs-nope", [0]))
    move("elsewhere", "/no/such/folder", ("dirs", [0]), ("dirs-nope", [0]))
    move("nowhere", "", ("dirs", [0]))
    move("a slash behind", folder + "/", ("dirs", [0]))
    move("a long name", folder, ("x" * 249, [0]))


@scenario
def administration(ask):
    """What on one node is a fact or changes nothing."""
    new_topic(ask, "admin", 2)
    for _ in range(200):  # until the id manager is ready
        answer = ask(None, "INIT_PRODUCER_ID", 4, {"transactionTimeoutMs": 1000})
        if answer["body"]["errorCode"] == 0:
            break
    quorum = lambda *partitions, topic="__cluster_metadata": {"topics": [{"topicName": topic, "partitions": [{"partitionIndex": p} for p in partitions]}]}
    for version in (0, 1, 2):
        ask(f"quorum v{version}", "DESCRIBE_QUORUM", version, quorum(0))
    ask("quorum of another topic", "DESCRIBE_QUORUM", 2, quorum(0, topic="admin"))
    ask("quorum of another partition", "DESCRIBE_QUORUM", 2, quorum(1))
    ask("quorum of two partitions", "DESCRIBE_QUORUM", 2, quorum(0, 1))
    ask("quorum of nothing", "DESCRIBE_QUORUM", 2, {"topics": []})
    ask("quorum of another topic, v0", "DESCRIBE_QUORUM", 0, quorum(0, topic="admin"))
    def feature(label, name, level, version=2, kind=1, dry=True):
        fields = {"upgradeType": kind} if version else {"allowDowngrade": kind != 1}
        more = {"validateOnly": dry} if version else {}
        answer = ask(label, "UPDATE_FEATURES", version, {"timeoutMs": 5000, "featureUpdates": [{"feature": name, "maxVersionLevel": level, **fields}], **more})
        ask.keep(f"{label}: words", {"said": answer["body"]["errorMessage"]}, None)
    feature("feature as it is", "metadata.version", 33, dry=False)
    feature("feature as it is, v0", "metadata.version", 33, version=0)
    feature("feature as it is, v1", "metadata.version", 33, version=1)
    feature("feature as it is, by downgrade", "metadata.version", 33, kind=2)
    feature("feature too high", "metadata.version", 34)
    feature("feature lower by upgrade", "metadata.version", 30)
    feature("feature lower by upgrade, v0", "metadata.version", 30, version=0)
    feature("feature lower, safe", "metadata.version", 30, kind=2)
    feature("feature lower, unsafe", "metadata.version", 7, kind=3)
    feature("feature too low", "metadata.version", 6, kind=2)
    feature("feature negative", "metadata.version", -1, kind=2)
    feature("feature unknown", "nope", 1)
    feature("feature unknown, v1", "nope", 1, version=1)
    feature("feature unknown, off", "nope", 0, kind=2)
    feature("feature of no name", "", 1)
    feature("feature with kind 0", "metadata.version", 33, kind=0)
    feature("feature with kind 9", "metadata.version", 33, kind=9)
    feature("feature off, dry run", "group.version", 0, kind=2)
    ask("no features", "UPDATE_FEATURES", 2, {"timeoutMs": 5000, "featureUpdates": []})
    ask("unregister a broker that is not there", "UNREGISTER_BROKER", 0, {"brokerId": 99})
    ask("unregister a controller that is not there", "UNREGISTER_CONTROLLER", 0, {"controllerId": 99})
    ask("unregister the controller", "UNREGISTER_CONTROLLER", 0, {"controllerId": 1})
    voter = {"clusterId": None, "voterId": 9, "voterDirectoryId": STRANGE_ID}
    listeners = {"timeoutMs": 1000, "listeners": [{"name": "CONTROLLER", "host": "127.0.0.1", "port": 1}]}
    ask("add a voter of another cluster", "ADD_RAFT_VOTER", 1, voter | listeners | {"clusterId": "x"})
    ask("add a voter without id", "ADD_RAFT_VOTER", 0, voter | listeners | {"voterId": -1})
    ask("add a voter without folder", "ADD_RAFT_VOTER", 1, voter | listeners | {"voterDirectoryId": NULL_ID})
    ask("remove a voter of another cluster", "REMOVE_RAFT_VOTER", 0, voter | {"clusterId": "x"})
    ask("remove a voter without id", "REMOVE_RAFT_VOTER", 0, voter | {"voterId": -1})
    ask("remove a voter without folder", "REMOVE_RAFT_VOTER", 0, voter | {"voterDirectoryId": NULL_ID})
    ask("remove a voter", "REMOVE_RAFT_VOTER", 0, voter)
    def elect(label, topics, version=2, kind=0):
        ask(label, "ELECT_LEADERS", version, {"topicPartitions": topics, "timeoutMs": 5000} | ({"electionType": kind} if version else {}), only="admin" if topics is None else None)
    asked = [{"topic": "admin", "partitions": [0, 1, 7]}, {"topic": "admin-nope", "partitions": [0]}, {"topic": "", "partitions": [0]}]
    for version in (0, 1, 2):
        elect(f"elect, v{version}", asked, version)
    elect("elect unclean", asked[:1], kind=1)
    elect("elect of kind 5", asked[:1], kind=5)
    elect("elect for all of kind 5", None, kind=5)
    elect("elect none", [])
    elect("elect no partitions", [{"topic": "admin", "partitions": []}])
    def reassign(label, replicas, partition=0, topic="admin", version=1, **more):
        answer = ask(label, "ALTER_PARTITION_REASSIGNMENTS", version, {"timeoutMs": 5000, "topics": [
            {"name": topic, "partitions": [{"partitionIndex": partition, "replicas": replicas}]}], **more})
        ask.keep(f"{label}: words", {"said": answer["body"]["responses"][0]["partitions"][0]["errorMessage"]}, None)
    reassign("reassign to the same, v0", [1], version=0)
    reassign("reassign to the same", [1])
    reassign("reassign elsewhere", [2])
    reassign("reassign to two", [1, 2])
    reassign("reassign to two others", [3, 2])
    reassign("reassign twice to one", [1, 1])
    reassign("reassign twice to one, and another", [2, 1, 1])
    reassign("reassign to nobody", [])
    reassign("reassign to -1", [-1])
    reassign("cancel", None)
    reassign("reassign an unknown partition", [1], partition=7)
    reassign("reassign an unknown topic", [1], topic="admin-nope")
    reassign("reassign to two, factor fixed", [1, 2], allowReplicationFactorChange=False)
    ask("reassign nothing", "ALTER_PARTITION_REASSIGNMENTS", 1, {"timeoutMs": 5000, "topics": []})
    ask("reassignments", "LIST_PARTITION_REASSIGNMENTS", 0, {"topics": None})
    ask("reassignments of some", "LIST_PARTITION_REASSIGNMENTS", 0, {"topics": [{"name": "admin", "partitionIndexes": [0, 7]}, {"name": "admin-nope", "partitionIndexes": [0]}]})
    def batch(sequence, epoch=0, **more):
        records = {"values": ["a", "b"], "producer_id": 77, "epoch": epoch, "sequence": sequence, "timestamp": 1700000000000, **more}
        ask(None, "PRODUCE", 9, produce("admin", (0, records)))
    batch(0)
    batch(2)
    producers = lambda label, topics: ask(label, "DESCRIBE_PRODUCERS", 0, {"topics": topics})
    producers("producers", [{"name": "admin", "partitionIndexes": [0, 1, 7, -1]}, {"name": "admin-nope", "partitionIndexes": [0]}, {"name": "a b", "partitionIndexes": [0]}])
    batch(0, epoch=1, timestamp=1600000000000)
    producers("producers after a new epoch", [{"name": "admin", "partitionIndexes": [0]}])
    producers("producers of nothing", [])
    for version in (0, 1, 2):
        ask(f"transactions, v{version}", "LIST_TRANSACTIONS", version, {"stateFilters": ["Ongoing", "Nope", "ongoing", "Nope"], "producerIdFilters": [1]})
    states = ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"]
    ask("transactions of every state", "LIST_TRANSACTIONS", 2, {"stateFilters": states})
    ask("transactions by a pattern", "LIST_TRANSACTIONS", 2, {"transactionalIdPattern": "a.*"})
    ask("transactions by no pattern", "LIST_TRANSACTIONS", 2, {"stateFilters": ["x"], "transactionalIdPattern": "(a"})
    ask("transaction of no name", "DESCRIBE_TRANSACTIONS", 0, {"transactionalIds": [""]})
    one = "AAAAAAAAAAAAAAAAAAAACQ"
    told = ask("telemetry", "GET_TELEMETRY_SUBSCRIPTIONS", 0, {"clientInstanceId": one})["body"]
    ask("telemetry again", "GET_TELEMETRY_SUBSCRIPTIONS", 0, {"clientInstanceId": one})
    def push(label, **more):
        ask(label, "PUSH_TELEMETRY", 0, {"clientInstanceId": one, "subscriptionId": told["subscriptionId"], "terminating": False, "compressionType": 0, "metrics": "", **more})
    push("push of another codec", compressionType=7)
    ask("telemetry after that", "GET_TELEMETRY_SUBSCRIPTIONS", 0, {"clientInstanceId": one})
    push("push again at once")
    push("last push", terminating=True)
    push("push after the last")
    push("push without id", clientInstanceId=NULL_ID)
    push("push with a reserved id", clientInstanceId="AAAAAAAAAAAAAAAAAAAAAQ")
    push("push of who was told nothing", clientInstanceId="AAAAAAAAAAAAAAAAAAAAHQ")
    ask("cluster with fenced brokers", "DESCRIBE_CLUSTER", 2, {"endpointType": 1, "includeFencedBrokers": True, "includeClusterAuthorizedOperations": True})
    ask("cluster of type 9", "DESCRIBE_CLUSTER", 2, {"endpointType": 9})
    for timestamp in (-1, -2, -3, -4, -5, -6, -7):
        for partition in (0, 1):
            ask(f"offset at {timestamp} of {partition}", "LIST_OFFSETS", 11, {"replicaId": -1, "isolationLevel": 1, "topics": [
                {"name": "admin", "partitions": [{"partitionIndex": partition, "timestamp": timestamp, "currentLeaderEpoch": -1}]}]})


@scenario
def without_an_authorizer(ask):
    """ACLs are kept by an authorizer, and there is none: code and words (under other names, as words are otherwise each broker's own)."""
    for v in range(1, 4):
        said = ask("describe", "DESCRIBE_ACLS", v, {"resourceTypeFilter": 1, "patternTypeFilter": 1, "operation": 1, "permissionType": 1})["body"]
        ask.keep(f"describe v{v}: words", {"body": {"words": said["errorMessage"]}}, None)
        said = ask("create", "CREATE_ACLS", v, {"creations": [{"resourceType": 2, "resourceName": "t", "resourcePatternType": 3, "principal": "User:a",
                                                             "host": "*", "operation": 3, "permissionType": 3}]})["body"]
        ask.keep(f"create v{v}: words", {"body": {"words": said["results"][0]["errorMessage"]}}, None)
        said = ask("delete", "DELETE_ACLS", v, {"filters": [{"resourceTypeFilter": 2, "patternTypeFilter": 3, "operation": 1, "permissionType": 1}]})["body"]
        ask.keep(f"delete v{v}: words", {"body": {"words": said["filterResults"][0]["errorMessage"]}}, None)
