"""A process that produces without end and says what was acknowledged: the witness of the kill -9 test.

    steady_producer.py BOOTSTRAP TOPIC PARTITIONS REPORT

Idempotent, acks=all, five in flight. Record n goes to partition n % PARTITIONS with n as value. For each acknowledgement a line
"partition offset n" is appended to REPORT and flushed; on SIGTERM it waits for what is in flight, and ends with "done SENT" or
"failed WHY". A producer of its own process: what it was told is on file whatever becomes of the server.
"""

import signal
import sys

from confluent_kafka import KafkaError, Producer

bootstrap, topic, partitions, report = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
stopping = False
failed: list[str] = []


def stop(*_):
    global stopping
    stopping = True


signal.signal(signal.SIGTERM, stop)


def main():
    with open(report, "a", buffering=1 << 16) as out:
        def delivered(error, message):
            if error is not None:
                failed.append(f"{error.name()}: {error.str()}")
            else:
                out.write(f"{message.partition()} {message.offset()} {message.value().decode()}\n")

        def told(error):
            if error.fatal() or error.code() == KafkaError._FATAL:
                failed.append(f"fatal: {error.str()}")

        producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "max.in.flight.requests.per.connection": 5,
            "linger.ms": 1, "batch.num.messages": 50, "queue.buffering.max.messages": 2000, "message.timeout.ms": 120_000,
            "socket.timeout.ms": 5000, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 10,
            "topic.metadata.refresh.fast.interval.ms": 10, "error_cb": told, "log_level": 0,
        })
        n = 0
        while not stopping and not failed:
            try:
                producer.produce(topic, str(n), partition=n % partitions, on_delivery=delivered)
                n += 1
            except BufferError:
                producer.poll(0.02)
            if n % 50 == 0:
                producer.poll(0)
                out.flush()
        left = producer.flush(60)
        if left:
            failed.append(f"{left} still unanswered after 60 s")
        out.write(f"failed {failed[0]}\n" if failed else f"done {n}\n")


main()
