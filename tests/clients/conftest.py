"""Fixtures of the client tests. Run by scripts/test; by hand:

    TOLLGATE_BIN=target/release/tollgate .clients/python/bin/python -m pytest tests/clients
    CLIENTS_AGAINST=kafka ...            the same questions to Apache Kafka 4.4.0: do the tests ask for the right thing?
    BOOTSTRAP=host:port ...              to a broker that runs already

Every module has a server of its own (it restarts it), every test topics and groups of its own.
"""

import itertools
import os
import re
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "compare"))

from support import clients, servers  # noqa: E402
from support.jvm import Driver, Tools  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "gateway: needs policies, so Tollgate")
    config.addinivalue_line("markers", "restarts: restarts the server")


# What each file needs, longest first: two workers take whole files in this order.
FILES = {
    "test_kill.py": "confluent", "test_faults.py": "java", "test_verifiable.py": "java", "test_policies.py": "java", "test_java_tools.py": "java", "test_tools_compare.py": "java", "test_quotas.py": "java", "test_policy_quotas.py": "java", "test_logins.py": "java", "test_tls.py": "java",
    "test_console_faults.py": "java", "test_error_codes.py": "java", "test_acls.py": "java", "test_fault_catalogue.py": "java", "test_shaping.py": "java", "test_java_client.py": "java", "test_confluent.py": "confluent", "test_conformance.py": "java",
    "test_delays.py": "confluent", "test_route.py": "confluent", "test_masks.py": "confluent", "test_disk_faults.py": "confluent", "test_replay.py": "confluent", "test_capture.py": "confluent", "test_toxiproxy.py": "confluent", "test_link.py": "kcat", "test_kcat.py": "kcat", "test_examples.py": "kcat", "test_aiokafka.py": "aiokafka",
}
collect_ignore = [name for name, needed in FILES.items() if needed not in clients.INSTALLED]
if "toxiproxy" not in os.environ.get("TOLLGATE_CLIENTS", "toxiproxy").split():
    collect_ignore.append("test_toxiproxy.py")


def pytest_collection_modifyitems(items):
    order = list(FILES)
    items.sort(key=lambda item: order.index(item.path.name))


# The only reasons for which a test may be left out of a run against Tollgate; any other skip fails the run.
KNOWN_SKIPS = ("this librdkafka's SCRAM is refused by Kafka 4 as well: librdkafka#4895",)


def pytest_sessionfinish(session, exitstatus):
    """Names what was left out in $TOLLGATE_LEFT_OUT, a line each, for the last lines of scripts/test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not reporter or hasattr(session.config, "workerinput"):
        return
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ()))
    if path := os.environ.get("TOLLGATE_LEFT_OUT"):
        Path(path).write_text("".join(f"{count} tests: {reason}\n" for reason, count in reasons.items()))
    unknown = [reason for reason in reasons if reason not in KNOWN_SKIPS]
    if unknown and exitstatus == 0 and not os.environ.get("BOOTSTRAP") and os.environ.get("CLIENTS_AGAINST") != "kafka":
        reporter.write_line(f"skipped for a reason that is not known: {unknown}", red=True)
        session.exitstatus = 1


@pytest.fixture(autouse=True)
def _skip(request):
    markers = {marker.name for marker in request.node.iter_markers()}
    if markers & {"gateway", "restarts"}:
        server = request.getfixturevalue("server")
        if "gateway" in markers and not server.gateway:
            pytest.skip("needs policies: only Tollgate has them")
        if "restarts" in markers and not server.restarts:
            pytest.skip("this server is not ours to restart")


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    """With the shipped policies and rules that look at everything, unless the module's POLICIES say "shipped" or "none"; with
    the module's SETTINGS, of Kafka's."""
    module, folder = request.module, tmp_path_factory.mktemp("server")
    with servers.running(folder, getattr(module, "POLICIES", "always"), getattr(module, "SETTINGS", None)) as server:
        yield server


@pytest.fixture
def bootstrap(server) -> str:
    return server.bootstrap


@pytest.fixture(scope="session")
def _jvms(tmp_path_factory):
    jvms = {}
    yield jvms
    for jvm in jvms.values():
        jvm.close()


def _jvm(jvms, kind, folder):
    if kind not in jvms or not jvms[kind].alive():
        jvms[kind] = kind(folder.mktemp("jvm") / f"{kind.__name__.lower()}.log")
    return jvms[kind]


@pytest.fixture
def driver(_jvms, tmp_path_factory) -> Driver:
    return _jvm(_jvms, Driver, tmp_path_factory)


@pytest.fixture
def tools(_jvms, tmp_path_factory) -> Tools:
    return _jvm(_jvms, Tools, tmp_path_factory)


@pytest.fixture
def run(tools, bootstrap):
    """Runs one of Kafka's command-line tools against the server."""
    def run(tool, *arguments, **more):
        return tools.run(tool, "--bootstrap-server", bootstrap, *arguments, **more)

    return run


_ordinal = itertools.count()


@pytest.fixture
def topic(request) -> str:
    """A topic name of the test's own; nothing is created."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")[:60].lower()
    return f"{name}-{os.getpid()}-{next(_ordinal)}"


@pytest.fixture
def group(topic) -> str:
    return f"group-of-{topic}"


@pytest.fixture
def under(server, topic):
    """Runs something under rules in which TOPIC stands for the test's own. Every one of them must have done something."""
    @contextmanager
    def under(rules: str):
        if not rules:
            yield
            return
        policy = f"rules-{topic}"
        chaos = "" if "on_access(" in rules else 'expires("10m");\n'
        with server.policy(policy, chaos + re.sub(r"\bTOPIC\b", topic, rules) + ";"):
            yield
            did = next(p for p in server.status()["policies"] if p["name"] == policy)["rules"]
            idle = [rule["name"] for rule in did if not rule["applied"]]
            assert did and not idle, f"never applied: {idle} of {rules}"

    return under


@pytest.fixture(scope="session")
def _families():
    return {}


@pytest.fixture(params=clients.INSTALLED)
def client(request, _families) -> clients.Family:
    """Each of the clients in turn."""
    name = request.param
    if name == "java":
        _families[name] = clients.JavaClient(request.getfixturevalue("driver"))
    elif name not in _families:
        _families[name] = {"confluent": clients.Confluent, "kcat": clients.Kcat, "aiokafka": clients.Aiokafka}[name]()
    family = _families[name]
    family.complaints()
    return family
