import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The Java consumer without a group's help, and what a group's committed offsets are good for. */
public class ConsumerChecks {
    static KafkaConsumer<String, String> consumer(Properties properties) {
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    static List<String> take(KafkaConsumer<String, String> consumer, int count) {
        List<String> values = new ArrayList<>();
        Driver.until("read " + count + " records, have " + values, Duration.ofSeconds(20), () -> {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) values.add(record.value());
            return values.size() >= count;
        });
        return values;
    }

    /** A consumer by itself: positions, seeks, look-up by time, pause, the reset policies. */
    static String alone(Driver.Args args) throws Exception {
        TopicPartition partition = new TopicPartition(args.topic(), 0);
        long time = 1_700_000_000_000L;
        try (Producer<byte[], byte[]> producer = ProducerChecks.producer(args.client("linger.ms", "0"))) {
            for (int n = 0; n < 100; n++) {
                producer.send(new ProducerRecord<>(args.topic(), 0, time + n * 1000L, null, ("" + n).getBytes(UTF_8)));
                if (n % 10 == 9) producer.flush();
            }
        }
        Properties properties = args.client("enable.auto.commit", "false", "auto.offset.reset", "none", "max.poll.records", "7",
            "fetch.max.wait.ms", "50", "group.id", args.topic() + "-alone");
        try (KafkaConsumer<String, String> consumer = consumer(properties)) {
            consumer.assign(List.of(partition));
            Driver.fails(NoOffsetForPartitionException.class, () -> consumer.poll(Duration.ofSeconds(10)));
            Driver.same(0L, consumer.beginningOffsets(List.of(partition)).get(partition), "beginning");
            Driver.same(100L, consumer.endOffsets(List.of(partition)).get(partition), "end");
            consumer.seekToBeginning(List.of(partition));
            List<String> all = take(consumer, 100);
            Driver.same(100, all.size(), "records");
            for (int n = 0; n < 100; n++) Driver.same("" + n, all.get(n), "record");
            Driver.same(100L, consumer.position(partition), "position");
            Driver.same(0L, consumer.currentLag(partition).orElse(-1), "lag");
            consumer.seek(partition, 42);
            Driver.same("42", take(consumer, 1).get(0), "after seek");
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, time + 41_500)).get(partition);
            Driver.same(42L, found.offset(), "offset by time");
            Driver.same(time + 42_000, found.timestamp(), "time by time");
            Driver.expect(consumer.offsetsForTimes(Map.of(partition, time + 1_000_000)).get(partition) == null, "a time after all finds nothing");
            consumer.pause(Set.of(partition));
            Driver.same(0, consumer.poll(Duration.ofMillis(200)).count(), "records while paused");
            consumer.resume(Set.of(partition));
            consumer.seekToEnd(List.of(partition));
            Driver.same(100L, consumer.position(partition), "position at the end");
            consumer.seek(partition, 500);
            Driver.fails(OffsetOutOfRangeException.class, () -> consumer.poll(Duration.ofSeconds(10)));
        }
        try (KafkaConsumer<String, String> consumer = consumer(args.client("enable.auto.commit", "false", "auto.offset.reset", "latest"))) {
            consumer.assign(List.of(partition));
            Driver.same(100L, consumer.position(partition), "latest");
        }
        return "";
    }

    /** The first `count` values of partition 0, or of the whole topic by a group that commits at its end; a line each. */
    static String read(Driver.Args args) {
        String group = args.text("group", "");
        Properties properties = args.client("enable.auto.commit", "false", "auto.offset.reset", "earliest", "fetch.max.wait.ms", "50",
            "heartbeat.interval.ms", "200", "session.timeout.ms", "10000");
        if (!group.isEmpty()) properties.put("group.id", group);
        try (KafkaConsumer<String, String> consumer = consumer(properties)) {
            if (group.isEmpty()) consumer.assign(List.of(new TopicPartition(args.topic(), 0)));
            else consumer.subscribe(List.of(args.topic()));
            List<String> values = new ArrayList<>();
            Driver.until("read all", Duration.ofSeconds(40), () -> {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) values.add(String.valueOf(record.value()));
                return values.size() >= args.number("count", 1);
            });
            if (!group.isEmpty()) consumer.commitSync(Duration.ofSeconds(30));
            return String.join("\n", values);
        }
    }

    /** Reads `count` in the group and commits by the way named: sync, async or auto (on close). Returns the values. */
    static String commit(Driver.Args args) {
        String how = args.text("how", "sync");
        Properties properties = args.client("group.id", args.text("group"), "group.protocol", "classic", "auto.offset.reset", "earliest",
            "enable.auto.commit", Boolean.toString(how.equals("auto")), "max.poll.records", args.text("count"));
        int count = args.number("count", 10);
        try (KafkaConsumer<String, String> consumer = consumer(properties)) {
            consumer.subscribe(List.of(args.topic()));
            List<String> values = take(consumer, count);
            Driver.same(count, values.size(), "records");
            if (how.equals("sync")) consumer.commitSync(Duration.ofSeconds(10));
            if (how.equals("async")) {
                boolean[] done = {false};
                Exception[] why = {null};
                consumer.commitAsync((offsets, exception) -> {
                    done[0] = true;
                    why[0] = exception;
                });
                Driver.until("the commit's answer", Duration.ofSeconds(10), () -> {
                    consumer.commitSync(Map.of(), Duration.ofSeconds(5)); // runs the callbacks of earlier commits
                    return done[0];
                });
                Driver.same(null, why[0], "commitAsync");
            }
            return String.join(" ", values);
        }
    }

    /** What the group has committed for partition 0, or none. */
    static String committed(Driver.Args args) {
        TopicPartition partition = new TopicPartition(args.topic(), args.number("partition", 0));
        try (KafkaConsumer<String, String> consumer = consumer(args.client("group.id", args.text("group"), "group.protocol", "classic"))) {
            OffsetAndMetadata found = consumer.committed(Set.of(partition)).get(partition);
            return found == null ? "none" : Long.toString(found.offset());
        }
    }

    /** Commits with metadata and a leader epoch, without a subscription, and reads it back. */
    static String commitExplicit(Driver.Args args) throws Exception {
        TopicPartition partition = new TopicPartition(args.topic(), 0);
        Properties properties = args.client("group.id", args.text("group"), "group.protocol", "classic", "enable.auto.commit", "false");
        try (KafkaConsumer<String, String> consumer = consumer(properties)) {
            consumer.assign(List.of(partition));
            OffsetAndMetadata offset = new OffsetAndMetadata(7, java.util.Optional.of(0), "half way");
            consumer.commitSync(Map.of(partition, offset));
            Driver.same(offset, consumer.committed(Set.of(partition)).get(partition), "committed");
            return "";
        }
    }
}
