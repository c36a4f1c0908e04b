"""What the README and the policies show is what one sees: their commands are run as they stand, against a server of their own."""

import json
import re
import subprocess
import time

import pytest
from support.servers import CHECKOUT
from support.wait import until

pytestmark = pytest.mark.gateway
POLICIES = "shipped"


@pytest.fixture
def shell(server):
    """Runs a command line with the server where the text says it is: its lines, without librdkafka's own log."""
    (server.folder / "tollgate-data").exists() or (server.folder / "tollgate-data").symlink_to("data")

    def run(line):
        line = re.sub(r"(localhost|127\.0\.0\.1):9092", rf"\1:{server.port}", line)
        ran = subprocess.run(["bash", "-c", line], cwd=server.folder, text=True, capture_output=True, timeout=60)
        return [text for text in (ran.stdout + ran.stderr).splitlines() if not re.match(r"%\d\|", text)]

    run.server = server
    return run


def screen():
    """The commands of the README's screen, each with the lines it shows."""
    block = re.search(r"## What it looks like\s+```console\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.S)[1]
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, *shown = part.strip().splitlines()
        yield command, shown


def test_readme(shell):
    commands = list(screen())
    assert len(commands) == 6
    for command, shown in commands:
        seen = shell(command)
        if "journal.jsonl" in command:
            want, got = json.loads("".join(shown)), json.loads("".join(seen))
            assert list(got) == list(want)
            assert [got[key] for key in ("seed", "policy", "fault", "parameter", "when")] == [want[key] for key in ("seed", "policy", "fault", "parameter", "when")]
        else:
            assert seen == shown, command


def examples(policy):
    """The kcat commands in the comment at the top of a policy."""
    head = (CHECKOUT / "policies" / f"{policy}.rhai").read_text().split("\npolicy(", 1)[0]
    lines = [line.removeprefix("//   ").strip() for line in head.splitlines() if line.startswith("//   ")]
    commands = "\n".join(lines).replace("|\n", "| ").splitlines()
    return [command for command in commands if "kcat" in command]


def check_access_list(shell, commands):
    assert shell(commands[0]) == ["% Delivery failed for message: Broker: Topic authorization failed"]


def check_correlation_ids(shell, commands):
    assert shell(commands[0]) == ["% Delivery failed for message: Broker: Broker failed to validate record"]
    assert shell(commands[1]) == []


def check_flaky_leader(shell, commands):
    assert shell(commands[0]) == []
    count = next(int(line) for line in shell(commands[1]) if line.isdigit())
    assert count and count % 100 == 0


def check_fraud_window(shell, commands):
    assert shell(commands[0]) == ["% Delivery failed for message: Broker: Broker failed to validate record"]


def check_lossy_acks(shell, commands):
    plain, idempotent, read = commands
    assert all("timed out" in line or "Timed out" in line for line in shell(plain))
    twice = shell(read)
    assert set(twice) == {str(n) for n in range(1, 11)} and len(twice) > 10
    shell(idempotent)
    assert len(shell(read)) == len(twice) + 10, "each record once more"


def check_mask_pii(shell, commands):
    assert shell(commands[0]) == []
    *_, seen = [json.loads(line) for line in shell(commands[1]) if line.startswith("{")]
    assert seen["name"] == "Ada" and seen["email"] == "a**@example.com" and seen["card"]["number"] == "************1111"
    assert seen["phone"] != "+44 20 7946 0018"


def check_schema_gate(shell, commands):
    assert shell(commands[0]) == [] and shell(commands[1]) == []
    *_, headers, value = [line for line in shell(commands[2]) if line]
    assert value == '{"shipment":"seven"}' and "tollgate-topic=demo-shipments" in headers
    assert "tollgate-reason=the value does not fit demo-shipment.json at $" in headers


def check_slow_consumer(shell, commands):
    assert shell(commands[0]) == []
    start = time.monotonic()
    assert "hello" in shell(commands[1])
    assert time.monotonic() - start > 0.1


def check_quota(shell, commands):
    start = time.monotonic()
    assert shell(commands[0]) == []
    assert time.monotonic() - start > 3
    assert "offset 4000" in shell(commands[1])[0], "none is lost"


def check_rebalance_storm(shell, commands):
    assert shell(commands[0]) == []
    assert {int(line) for line in shell(commands[1]) if line.isdigit()} == set(range(1, 101)), "none is lost, some come again"


def check_expired_credentials(shell, commands):
    server = shell.server
    command = [server.binary, "user", "add", "demo-app", "--users", server.folder / "users.toml", "--password-file", "-"]
    subprocess.run(command, input="demo-app-secret", text=True, check=True, timeout=30)
    shell(commands[0])
    known = lambda line: shell(line.replace("localhost:9092", server.sasl))
    until("the user is known", lambda: "hello" in known(commands[1]))


def check_topic_limits(shell, commands):
    topic = lambda lines, name: [line for line in lines if f'topic "{name}"' in line]
    for _ in range(2):
        shell(commands[0])
        refused = topic(shell(commands[1]), "demo-Scratch_2")
        assert len(refused) == 1 and "Unknown topic or partition" in refused[0]
    assert topic(shell(commands[0]), "demo-scratch")[0].strip() == 'topic "demo-scratch" with 1 partitions:'


def check_slow_disk(shell, commands):
    assert shell(commands[0]) == []
    assert "hello" in shell(commands[1])
    start = time.monotonic()
    shell(commands[2])
    assert time.monotonic() - start > 0.15


def check_broken_disk(shell, commands):
    for command in commands:
        failed = shell(command)
        assert failed and all("Disk error" in line for line in failed), failed


def check_standing_still(shell, commands):
    assert shell(commands[0]) == []
    real = next(re.search(r"0m([\d.]+)s", line)[1] for line in shell(commands[1]) if line.startswith("real"))
    assert 1 < float(real) < 10


def check_unclean_election(shell, commands):
    assert shell(commands[0]) == []
    until("the log is cut", lambda: shell(commands[1]) == [str(n) for n in range(1, 7)])


@pytest.mark.parametrize("policy", sorted(path.stem for path in (CHECKOUT / "policies").glob("*.rhai") if not path.name.endswith(".d.rhai")))
def test_policy(shell, server, policy):
    globals()["check_" + policy.replace("-", "_")](shell, examples(policy))
    rules = next(one for one in server.status()["policies"] if one["name"] == policy)["rules"]
    assert any(rule["applied"] for rule in rules), f"nothing of it was ever applied: {rules}"
