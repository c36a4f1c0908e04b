"""Scenarios for a broker with Kafka's own authorizer, whose super users are User:ANONYMOUS and User:admin, and no other users."""

SECURED = []


def secured(function):
    SECURED.append(function)
    return function


TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID, DELEGATION_TOKEN, USER = 2, 3, 4, 5, 6, 7
ANY, MATCH, LITERAL, PREFIXED = 1, 2, 3, 4
ALL, READ, WRITE, DESCRIBE = 2, 3, 4, 8
DENY, ALLOW = 2, 3


def acl(resource=TOPIC, name="acls-t", pattern=LITERAL, principal="User:ada", host="*", operation=READ, permission=ALLOW):
    return {"resourceType": resource, "resourceName": name, "resourcePatternType": pattern, "principal": principal, "host": host,
            "operation": operation, "permissionType": permission}


def acl_filter(resource=ANY, name=None, pattern=ANY, principal=None, host=None, operation=ANY, permission=ANY):
    return {"resourceTypeFilter": resource, "resourceNameFilter": name, "patternTypeFilter": pattern, "principalFilter": principal,
            "hostFilter": host, "operation": operation, "permissionType": permission}


@secured
def acls(ask):
    def create(label, *creations, version=3, **more):
        return ask(label, "CREATE_ACLS", version, {"creations": list(creations)}, **more)

    def describe(label, version=3, alone=False, **filters):
        return ask(label, "DESCRIBE_ACLS", version, acl_filter(**filters), alone=alone)

    def delete(label, *filters, version=3, **more):
        return ask(label, "DELETE_ACLS", version, {"filters": list(filters)}, **more)

    describe("none yet")
    create("one", acl())
    create("the same again", acl())
    create("twice in one request", acl(name="acls-twice"), acl(name="acls-twice"))
    create("nothing")
    create("good and bad", acl(name="acls-good"), acl(resource=CLUSTER, name="acls"), acl(name=""))
    create("the cluster", acl(resource=CLUSTER, name="kafka-cluster", operation=ALL))
    create("cluster of another name", acl(resource=CLUSTER, name="another"))
    create("empty cluster name", acl(resource=CLUSTER, name=""))
    create("empty name", acl(name=""))
    create("any resource", acl(resource=ANY))
    create("any pattern", acl(pattern=ANY))
    create("match pattern", acl(pattern=MATCH))
    create("any operation", acl(operation=ANY))
    create("any permission", acl(permission=ANY))
    create("an operation nobody knows", acl(operation=77))
    create("a resource nobody knows", acl(resource=77))
    create("a pattern nobody knows", acl(pattern=77))
    create("a permission nobody knows", acl(permission=77))
    create("unknown operation", acl(operation=0), alone=True)
    create("unknown resource", acl(resource=0), alone=True)
    create("unknown pattern", acl(pattern=0), alone=True)
    create("unknown permission", acl(permission=0), alone=True)
    create("an operation that goes with other resources", acl(operation=9))
    create("principal without a type", acl(principal="ada"))
    create("empty principal", acl(principal=""))
    create("principal with two colons", acl(principal="User:CN=ada:x"))
    create("principal of another type", acl(principal="Group:staff"))
    create("any user", acl(name="acls-public", principal="User:*"))
    create("a host", acl(name="acls-hosts", host="10.0.0.7"))
    create("a host of IPv6", acl(name="acls-hosts", host="::1"))
    create("a host that is none", acl(name="acls-hosts", host="nowhere at all"))
    create("empty host", acl(name="acls-hosts", host=""))
    create("a pattern that is a prefix", acl(name="acls-p", pattern=PREFIXED))
    create("wildcard", acl(name="*", principal="User:wild"))
    create("wildcard prefix", acl(name="*", pattern=PREFIXED, principal="User:wild"))
    create("long name", acl(name="n" * 1000))
    create("characters no topic has", acl(name="a b/ü"))
    for resource in (GROUP, TRANSACTIONAL_ID, DELEGATION_TOKEN, USER):
        create(f"resource type {resource}", acl(resource=resource, name="User:ada" if resource == USER else "acls-r"))
    create("two-phase commit", acl(resource=TRANSACTIONAL_ID, name="acls-2pc", operation=15))
    create("v1", acl(name="acls-v1"), version=1)
    create("v2", acl(name="acls-v2", pattern=PREFIXED), version=2)

    for version in (1, 2, 3):
        describe(f"all of v{version}", version=version)
    describe("by name", name="acls-t")
    describe("by name and literal", name="acls-t", pattern=LITERAL)
    describe("by name and prefixed", name="acls-p", pattern=PREFIXED)
    describe("match a topic", resource=TOPIC, name="acls-public", pattern=MATCH)
    describe("match a name without a type", name="acls-r", pattern=MATCH)
    describe("match without a name", resource=GROUP, pattern=MATCH)
    describe("of a principal", principal="User:*")
    describe("of a host", host="10.0.0.7")
    describe("of an operation", operation=ALL)
    describe("denied", permission=DENY)
    describe("empty name", name="")
    describe("of a resource nobody knows", resource=77)
    describe("of an operation nobody knows", operation=77)
    describe("of a pattern nobody knows", pattern=77)
    describe("unknown resource", resource=0, alone=True)
    describe("unknown pattern", pattern=0, alone=True)
    describe("unknown operation", operation=0, alone=True)
    describe("unknown permission", permission=0, alone=True)

    delete("nothing")
    delete("what is not there", acl_filter(name="acls-nothing"))
    delete("v1", acl_filter(name="acls-v1", pattern=LITERAL), version=1)
    delete("v2", acl_filter(name="acls-v2"), version=2)
    delete("twice in one request", acl_filter(name="acls-twice"), acl_filter(name="acls-twice"))
    delete("match", acl_filter(resource=TOPIC, name="acls-public", pattern=MATCH))
    delete("of a resource nobody knows", acl_filter(resource=77))
    delete("of an operation nobody knows", acl_filter(operation=77))
    delete("unknown resource", acl_filter(resource=0), alone=True)
    delete("unknown operation", acl_filter(operation=0), alone=True)
    describe("what is left")
    delete("all", acl_filter())
    describe("nothing is left")


@secured
def scram(ask):
    salt, salted = "c2FsdHNhbHRzYWx0c2FsdA==", "AQIDBAUGBwgJCgsMDQ4PEAECAwQFBgcICQoLDA0ODxA="

    def alter(label, deletions=(), upsertions=()):
        ask(label, "ALTER_USER_SCRAM_CREDENTIALS", 0, {"deletions": list(deletions), "upsertions": list(upsertions)})

    def describe(label, *users):
        names = [{"name": user} for user in users]
        ask(label, "DESCRIBE_USER_SCRAM_CREDENTIALS", 0, {"users": names or None})

    def put(name, mechanism=1, iterations=4096, salt=salt, salted=salted):
        return {"name": name, "mechanism": mechanism, "iterations": iterations, "salt": salt, "saltedPassword": salted}

    def gone(name, mechanism=1):
        return {"name": name, "mechanism": mechanism}

    def settled(*users):
        """Until metadata has it."""
        for _ in range(100):
            results = ask(None, "DESCRIBE_USER_SCRAM_CREDENTIALS", 0, {"users": [{"name": user} for user in users]})["body"]["results"]
            if not any(result["errorCode"] for result in results):
                return

    describe("nobody by this name", "scram-x")
    describe("the same user twice", "scram-x", "scram-x")
    alter("nothing")
    alter("a user", upsertions=[put("scram-a")])
    alter("another mechanism", upsertions=[put("scram-a", mechanism=2, iterations=8192)])
    alter("two users", upsertions=[put("scram-b"), put("scram-c", iterations=16384)])
    settled("scram-a", "scram-b", "scram-c")
    describe("one", "scram-a")
    describe("some", "scram-b", "scram-x", "scram-a")
    describe("twice", "scram-b", "scram-b", "scram-a")
    describe("empty name", "")
    alter("too few iterations", upsertions=[put("scram-y", iterations=4095)])
    alter("too many iterations", upsertions=[put("scram-y", iterations=16385)])
    alter("negative iterations", upsertions=[put("scram-y", iterations=-1)])
    alter("a mechanism nobody knows", upsertions=[put("scram-y", mechanism=0), put("scram-z", mechanism=77)])
    alter("empty user name", upsertions=[put("")])
    alter("empty user name and unknown mechanism", deletions=[gone("", 9)])
    alter("a user twice", upsertions=[put("scram-y"), put("scram-y", mechanism=2)])
    alter("deleted and put", deletions=[gone("scram-a")], upsertions=[put("scram-a")])
    alter("unknown deleted and put", deletions=[gone("scram-x")], upsertions=[put("scram-x")])
    alter("deleted twice", deletions=[gone("scram-a"), gone("scram-a", 2)])
    alter("thrice", upsertions=[put("scram-y"), put("scram-y"), put("scram-y")])
    alter("bad and good", deletions=[gone("scram-x")], upsertions=[put("scram-d"), put("scram-e", iterations=1)])
    alter("nobody deleted", deletions=[gone("scram-x")])
    alter("deleted by a mechanism the user has not", deletions=[gone("scram-b", 2)])
    alter("short salt", upsertions=[put("scram-f", salt="YQ==")])
    settled("scram-d", "scram-f")
    describe("as they were", "scram-a", "scram-d", "scram-e", "scram-f", "scram-y")
    alter("one mechanism deleted", deletions=[gone("scram-a")])
    for name in ("scram-b", "scram-c", "scram-d", "scram-f"):
        alter(f"{name} deleted", deletions=[gone(name)])
    alter("the other mechanism deleted", deletions=[gone("scram-a", 2)])
    for _ in range(100):
        if ask(None, "DESCRIBE_USER_SCRAM_CREDENTIALS", 0, {"users": [{"name": "scram-a"}]})["body"]["results"][0]["errorCode"]:
            break
    describe("gone", "scram-a", "scram-b")


@secured
def tokens(ask):
    for version in (1, 2, 3):
        owner = {"ownerPrincipalType": "User", "ownerPrincipalName": "bob"} if version == 3 else {}
        ask("anonymous", "CREATE_DELEGATION_TOKEN", version, {"renewers": [], "maxLifetimeMs": 1000, **owner})
        ask("renewers", "CREATE_DELEGATION_TOKEN", version, {"renewers": [{"principalType": "Group", "principalName": "x"}], "maxLifetimeMs": -1})
    ask("owner that is none", "CREATE_DELEGATION_TOKEN", 3, {"renewers": [], "maxLifetimeMs": 1000, "ownerPrincipalType": None, "ownerPrincipalName": None})
    for version in (1, 2):
        ask("anonymous", "RENEW_DELEGATION_TOKEN", version, {"hmac": "AQID", "renewPeriodMs": 1})
        ask("anonymous", "EXPIRE_DELEGATION_TOKEN", version, {"hmac": "AQID", "expiryTimePeriodMs": 1})
    for version in (1, 2, 3):
        ask("all", "DESCRIBE_DELEGATION_TOKEN", version, {"owners": None})
        ask("somebody's", "DESCRIBE_DELEGATION_TOKEN", version, {"owners": [{"principalType": "User", "principalName": "x"}]})
        ask("nobody's", "DESCRIBE_DELEGATION_TOKEN", version, {"owners": []})
