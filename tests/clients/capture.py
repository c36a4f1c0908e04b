#!/usr/bin/env python3
"""Captures what real clients send, as inputs that fuzzing begins with: capture.py TOLLGATE_BINARY

kcat, aiokafka and Kafka's own tools produce, consume and ask through a proxy that notes their requests. Of each client the first two
of every api and version are kept, up to 2 KB each, in tests/data/captures/CLIENT.txt: key, version, the frame without its length in hex.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support import servers
from support.jvm import Tools
from support.wait import until

FOLDER = servers.CHECKOUT / "tests" / "data" / "captures"
LARGEST = 2048
EACH = 2


class Proxy:
    """Forwards one port to another and keeps the requests."""

    def __init__(self, port: int, to: int):
        self.port, self.to, self.frames = port, to, {}

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def serve(self, client_in, client_out):
        broker_in, broker_out = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(self.requests(client_in, broker_out), self.answers(broker_in, client_out), return_exceptions=True)

    async def requests(self, incoming, outgoing):
        try:
            while True:
                size = await incoming.readexactly(4)
                frame = await incoming.readexactly(int.from_bytes(size, "big"))
                kept = self.frames.setdefault((int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:4], "big")), [])
                if len(kept) < EACH and len(frame) <= LARGEST:
                    kept.append(frame)
                outgoing.write(size + frame)
                await outgoing.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            outgoing.close()

    async def answers(self, incoming, outgoing):
        while data := await incoming.read(1 << 16):
            outgoing.write(data)
            await outgoing.drain()
        outgoing.close()


def with_kcat(bootstrap: str):
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        subprocess.run(["kcat", "-P", "-b", bootstrap, "-t", "captured", "-z", codec, "-K:", "-X", "enable.idempotence=true"], input="k:v\nk:w\n", text=True, check=True, timeout=30)
    subprocess.run(["kcat", "-C", "-b", bootstrap, "-t", "captured", "-e", "-o", "beginning"], stdout=subprocess.DEVNULL, check=True, timeout=30)
    subprocess.run(["kcat", "-b", bootstrap, "-G", "kcat-group", "captured", "-c", "4", "-X", "auto.offset.reset=earliest"], stdout=subprocess.DEVNULL, check=True, timeout=30)
    subprocess.run(["kcat", "-L", "-b", bootstrap], stdout=subprocess.DEVNULL, check=True, timeout=30)


def with_aiokafka(bootstrap: str):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    async def both():
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="gzip") as producer:
            await producer.send_and_wait("captured", b"value", key=b"key", headers=[("h", b"1")])
        async with AIOKafkaConsumer("captured", bootstrap_servers=bootstrap, group_id="aio-group", auto_offset_reset="earliest") as consumer:
            await asyncio.wait_for(consumer.getone(), 20)
            await consumer.commit()

    asyncio.run(both())


def with_java(bootstrap: str):
    with tempfile.TemporaryDirectory() as scratch:
        tools = Tools(Path(scratch) / "tools.log")
        run = lambda tool, *words, **more: tools.run(tool, "--bootstrap-server", bootstrap, *words, **more).ok()
        try:
            run("kafka-topics", "--create", "--topic", "by-java", "--partitions", "2", "--config", "retention.ms=3600000")
            until("the topic is there", lambda: tools.run("kafka-topics", "--bootstrap-server", bootstrap, "--describe", "--topic", "by-java").code == 0)
            run("kafka-console-producer", "--topic", "by-java", "--compression-codec", "zstd", stdin="a\nb\n")
            run("kafka-console-consumer", "--topic", "by-java", "--group", "java-group", "--from-beginning", "--max-messages", "2", "--timeout-ms", "20000")
            run("kafka-consumer-groups", "--describe", "--group", "java-group")
            run("kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", "by-java", "--add-config", "retention.ms=50000")
            run("kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "by-java")
            run("kafka-get-offsets", "--topic", "by-java", "--time", "max-timestamp")
            run("kafka-transactions", "describe-producers", "--topic", "by-java", "--partition", "0")
            run("kafka-metadata-quorum", "describe", "--status")
            run("kafka-features", "describe")
            run("kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions")
            run("kafka-reassign-partitions", "--list")
            run("kafka-topics", "--delete", "--topic", "by-java")
        finally:
            tools.close()


CLIENTS = {"kcat": with_kcat, "aiokafka": with_aiokafka, "java-tools": with_java}


async def capture(binary: str):
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, drive in CLIENTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            port, to = servers.free_port(), servers.free_port()
            command = [binary, "serve", "--listen", f"127.0.0.1:{to}", "--advertised", f"127.0.0.1:{port}", "--admin", "off", "--data", "data", "--policies", scratch]
            process = subprocess.Popen(command, cwd=scratch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
            try:
                until("tollgate listens", lambda: servers.listening(to), 20)
                proxy = Proxy(port, to)
                await proxy.start()
                await asyncio.to_thread(drive, f"127.0.0.1:{port}")
            finally:
                process.terminate()
                process.wait(20)
        lines = [f"{key} {version} {frame.hex()}" for (key, version), frames in sorted(proxy.frames.items()) for frame in frames]
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(lines)} frames of {len(proxy.frames)} apis and versions")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(capture(sys.argv[1]))
