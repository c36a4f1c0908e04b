"""The same few doings with every client, for the tests that ask what a client makes of a policy or a fault."""

import asyncio
import json
import logging
import os
import re
import ssl
import subprocess
from dataclasses import dataclass

from .wait import until

# Short, so that a lost answer is noticed soon; a client's own default would be 30 s.
TIMEOUT_MS = 1500
# And yet it goes on trying for this long.
PATIENCE_MS = 60_000


@dataclass(frozen=True)
class Tls:
    """PEM files: whom the client trusts, and its own certificate and key, if it has them."""

    ca: str
    certificate: str | None = None
    key: str | None = None

    def java(self) -> dict[str, str]:
        properties = {"ssl.truststore.type": "PEM", "ssl.truststore.location": self.ca}
        if self.certificate:
            chain, key = (open(path).read() for path in (self.certificate, self.key))
            properties |= {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain, "ssl.keystore.key": key}
        return properties

    def rdkafka(self) -> dict[str, str]:
        own = {"ssl.certificate.location": self.certificate, "ssl.key.location": self.key} if self.certificate else {}
        return {"ssl.ca.location": self.ca} | own

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True)
class Login:
    """How a client comes in: with a name and password, over TLS, or both."""

    name: str | None = None
    password: str = ""
    mechanism: str = ""
    tls: Tls | None = None

    @property
    def protocol(self) -> str:
        return ("SASL_" if self.name else "") + ("SSL" if self.tls else "PLAINTEXT")


class LastBrokerGone(Exception):
    """The client ended because the only broker it knew hung up, or was taken to have."""


class Family:
    """One client. `produce` answers for each value its offset, or the name of the error it ended with."""

    name: str
    mechanisms = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

    def produce(self, bootstrap: str, topic: str, values: list[str], idempotent=True, login: Login | None = None) -> list[int | str]:
        raise NotImplementedError

    def consume(self, bootstrap: str, topic: str, count: int, group: str | None = None, login: Login | None = None) -> list[str]:
        """The first `count` values of partition 0, or by a group that commits at its end."""
        raise NotImplementedError

    def complaints(self) -> list[str]:
        """Log lines since the last call that no client should write about a broker that only fails."""
        return [line for line in self.said() if self.WRONG.search(line)]

    def said(self) -> list[str]:
        """All log lines since the last call of this or of complaints()."""
        lines, self.lines = self.lines, []
        return lines


class JavaClient(Family):
    name = "java"
    WRONG = re.compile(r"SchemaException|CorrelationId|BufferUnderflow|IllegalState|Error reading|Uncaught|UnknownServer|CorruptRecord|OutOfOrder|Malformed|\bat .*NullPointer")

    def __init__(self, driver):
        self.driver = driver
        self._read = driver.log.stat().st_size

    def _properties(self, login):
        properties = {"request.timeout.ms": TIMEOUT_MS, "delivery.timeout.ms": PATIENCE_MS, "default.api.timeout.ms": PATIENCE_MS,
                      "max.block.ms": PATIENCE_MS, "retry.backoff.ms": 20, "linger.ms": 0}
        if login:
            properties["security.protocol"] = login.protocol
        if login and login.tls:
            properties |= login.tls.java()
        if login and login.name:
            module = "plain.PlainLoginModule" if login.mechanism == "PLAIN" else "scram.ScramLoginModule"
            properties |= {"sasl.mechanism": login.mechanism, "sasl.jaas.config":
                           f'org.apache.kafka.common.security.{module} required username="{login.name}" password="{login.password}";'}
        return properties

    def produce(self, bootstrap, topic, values, idempotent=True, login=None):
        answer = self.driver.check("ProducerChecks.values", bootstrap=bootstrap, topic=topic, values="\n".join(values),
                                   idempotence=str(idempotent).lower(), properties=self._properties(login))
        return [int(word) if word.isdigit() else word for word in answer.split()]

    def consume(self, bootstrap, topic, count, group=None, login=None):
        more = {"group": group} if group else {}
        return self.driver.check("ConsumerChecks.read", bootstrap=bootstrap, topic=topic, count=count, properties=self._properties(login), **more).split("\n")

    def said(self):
        with open(self.driver.log, errors="replace") as log:
            log.seek(self._read)
            text = log.read()
            self._read = log.tell()
        return text.splitlines()


# What librdkafka says when a broker does not speak Kafka; FAIL, ERROR and the like also come with every honest failure.
RDKAFKA_WRONG = re.compile(r"BADMSG|PROTOUFLOW|PROTOERR|bad message|underflow|protocol (parse|read)|unsupported (magic|msg)|CRC|FATAL|correlation", re.I)


def _rdkafka(login: Login | None) -> dict[str, str | int]:
    config = {"socket.timeout.ms": TIMEOUT_MS, "request.timeout.ms": TIMEOUT_MS, "message.timeout.ms": PATIENCE_MS, "retry.backoff.ms": 20,
              "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "topic.metadata.refresh.fast.interval.ms": 20}
    if login:
        config["security.protocol"] = login.protocol
    if login and login.tls:
        config |= login.tls.rdkafka()
    if login and login.name:
        config |= {"sasl.mechanisms": login.mechanism, "sasl.username": login.name, "sasl.password": login.password}
    return config


class Confluent(Family):
    name = "confluent"
    WRONG = RDKAFKA_WRONG

    def __init__(self):
        self.lines: list[str] = []
        self._log = logging.Logger("librdkafka")
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())
        self._log.addHandler(handler)

    def produce(self, bootstrap, topic, values, idempotent=True, login=None):
        from confluent_kafka import Producer

        sender = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": idempotent, "linger.ms": 0, **_rdkafka(login)}, logger=self._log)
        went: list[int | str] = ["pending"] * len(values)

        def report(n):
            def delivered(error, message):
                went[n] = error.name() if error else message.offset()

            return delivered

        for n, value in enumerate(values):
            sender.produce(topic, value, partition=0, on_delivery=report(n))
        sender.flush(PATIENCE_MS / 1000)
        return went

    def consume(self, bootstrap, topic, count, group=None, login=None):
        from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

        config = _rdkafka(login) | {"bootstrap.servers": bootstrap, "group.id": group or "none", "auto.offset.reset": "earliest",
                                    "enable.auto.commit": False, "fetch.wait.max.ms": 50, "session.timeout.ms": 10_000, "heartbeat.interval.ms": 200}
        del config["request.timeout.ms"], config["message.timeout.ms"]
        refused = []
        config["error_cb"] = lambda error: refused.append(error) if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL) else None
        reader = Consumer(config, logger=self._log)
        if group:
            reader.subscribe([topic])
        else:
            reader.assign([TopicPartition(topic, 0, 0)])
        values = []
        try:
            def enough():
                for message in reader.consume(count - len(values), 0.2):
                    if message.error():
                        raise KafkaException(message.error())
                    values.append((message.value() or b"").decode())
                if refused:  # librdkafka itself would try for ever
                    raise KafkaException(refused[0])
                return len(values) >= count

            until(f"{count} values", enough, 40)
            if group:
                reader.commit(asynchronous=False)
        finally:
            reader.close()
        return values


class Kcat(Family):
    name = "kcat"
    WRONG = RDKAFKA_WRONG

    def __init__(self):
        self.lines: list[str] = []
        version = subprocess.run(["kcat", "-V"], capture_output=True, text=True).stdout
        if tuple(map(int, re.search(r"librdkafka (\d+)\.(\d+)\.(\d+)", version).groups())) < (2, 6, 1):
            # It repeats its nonce in the last message, which Kafka 4 refuses as RFC 5802 wants: librdkafka#4895.
            self.mechanisms = ("PLAIN",)

    def _run(self, bootstrap, login, *arguments, stdin=None, skip=()):
        config = [word for key, value in _rdkafka(login).items() if key not in skip for word in ("-X", f"{key}={value}")]
        ran = subprocess.run(["kcat", "-b", bootstrap, *config, *arguments], input=stdin, text=True, capture_output=True, timeout=PATIENCE_MS / 1000)
        self.lines += ran.stderr.splitlines()
        if "brokers are down: terminating" in ran.stderr:
            raise LastBrokerGone(ran.stderr)
        return ran

    def produce(self, bootstrap, topic, values, idempotent=True, login=None):
        """kcat shows no offsets: "stored" for each value when it ended well, its last complaint when not."""
        options = ["-X", f"enable.idempotence={str(idempotent).lower()}", "-X", "linger.ms=0", "-P", "-t", topic, "-p", "0"]
        ran = self._run(bootstrap, login, *options, stdin="".join(value + "\n" for value in values))
        denied = re.search(r"not authorized|authorization failed|Authentication", ran.stderr, re.I)
        return [denied[0] if denied else f"exit {ran.returncode}" if ran.returncode else "stored"] * len(values)

    def consume(self, bootstrap, topic, count, group=None, login=None):
        where = ["-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=200", "-G", group, topic] if group else ["-C", "-t", topic, "-p", "0", "-o", "beginning"]
        ran = self._run(bootstrap, login, "-J", "-X", "fetch.wait.max.ms=50", "-c", str(count), *where, skip=("request.timeout.ms", "message.timeout.ms"))
        if ran.returncode:
            raise RuntimeError(ran.stderr)
        return [json.loads(line)["payload"] or "" for line in ran.stdout.splitlines()]


class Aiokafka(Family):
    name = "aiokafka"
    WRONG = re.compile(r"Correlation|CorruptRecord|struct\.error|Unexpected (?!error|connection)|OutOfOrder|Traceback \(most recent", re.I)

    def __init__(self):
        self.lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage() + (repr(record.exc_info[1]) if record.exc_info else ""))
        self._log = logging.getLogger("aiokafka")
        self._log.handlers = [handler]
        self._log.propagate = False

    def _common(self, login):
        common = {"request_timeout_ms": TIMEOUT_MS, "retry_backoff_ms": 20}
        if login:
            common["security_protocol"] = login.protocol
        if login and login.tls:
            common["ssl_context"] = login.tls.context()
        if login and login.name:
            common |= {"sasl_mechanism": login.mechanism, "sasl_plain_username": login.name, "sasl_plain_password": login.password}
        return common

    def produce(self, bootstrap, topic, values, idempotent=True, login=None):
        from aiokafka import AIOKafkaProducer

        async def run():
            went = []
            async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=idempotent, **self._common(login)) as sender:
                sent = []
                for value in values:
                    try:
                        sent.append(await sender.send(topic, value.encode(), partition=0))
                    except Exception as error:  # refused before it was sent
                        sent.append(error)
                for one in sent:
                    try:
                        went.append((await one).offset if not isinstance(one, Exception) else type(one).__name__)
                    except Exception as error:
                        went.append(type(error).__name__)
            return went

        return asyncio.run(run())

    def consume(self, bootstrap, topic, count, group=None, login=None):
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def run():
            more = {"group_id": group, "session_timeout_ms": 10_000, "heartbeat_interval_ms": 200} if group else {}
            reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=50,
                                      **self._common(login), **more)
            async with asyncio.timeout(40):
                try:
                    await reader.start()
                    if group:
                        reader.subscribe([topic])
                    else:
                        reader.assign([TopicPartition(topic, 0)])
                    values = [((await reader.getone()).value or b"").decode() for _ in range(count)]
                    if group:
                        await reader.commit()
                    return values
                finally:
                    await reader.stop()

        return asyncio.run(run())


NAMES = ["java", "confluent", "kcat", "aiokafka"]
# Which of them are here, as scripts/test found it; by hand all are taken to be.
INSTALLED = [name for name in NAMES if name in os.environ.get("TOLLGATE_CLIENTS", " ".join(NAMES)).split()]
