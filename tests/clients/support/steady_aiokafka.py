"""steady_producer.py with aiokafka: the same arguments, the same report."""

import asyncio
import signal
import sys

from aiokafka import AIOKafkaProducer

bootstrap, topic, partitions, report = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
IN_FLIGHT = 1000


async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    failed: list[str] = []
    room = asyncio.Semaphore(IN_FLIGHT)
    n = 0
    with open(report, "a", buffering=1) as out:
        def delivered(value):
            def done(future):
                room.release()
                if error := future.exception():
                    failed.append(repr(error))
                else:
                    out.write(f"{future.result().partition} {future.result().offset} {value}\n")

            return done

        # An idempotent one never gives a batch up; short timeouts, so that a dead server is noticed soon.
        sender = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=1, max_batch_size=2000, request_timeout_ms=5000,
                                  retry_backoff_ms=10)
        await sender.start()
        while not stopping.is_set() and not failed:
            await room.acquire()
            future = await sender.send(topic, str(n).encode(), partition=n % partitions)
            future.add_done_callback(delivered(n))
            n += 1
        for _ in range(IN_FLIGHT):  # all are answered
            await asyncio.wait_for(room.acquire(), 60)
        await sender.stop()
        out.write(f"failed {failed[0]}\n" if failed else f"done {n}\n")


asyncio.run(main())
