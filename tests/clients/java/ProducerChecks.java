import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What the Java producer does, and what is found in the topic afterwards. */
public class ProducerChecks {
    static KafkaProducer<byte[], byte[]> producer(Properties properties) {
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Every record of a partition from the start up to the end offset seen at the call, which must arrive within a time. */
    static List<ConsumerRecord<byte[], byte[]>> everything(Driver.Args args, TopicPartition partition, int atLeast) {
        Properties properties = args.client("enable.auto.commit", "false", "auto.offset.reset", "earliest");
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            Driver.until("read " + partition + " to its end", Duration.ofSeconds(20), () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
                return records.size() >= atLeast && consumer.position(partition) >= consumer.endOffsets(List.of(partition)).get(partition);
            });
        }
        return records;
    }

    static String value(byte[] bytes) {
        return bytes == null ? null : new String(bytes, UTF_8);
    }

    /** compression, acks, idempotence: what was sent is what is read, in order, with keys, headers and timestamps. */
    static String produce(Driver.Args args) throws Exception {
        int count = args.number("count", 500);
        String acks = args.text("acks", "all");
        Properties properties = args.client("acks", acks, "enable.idempotence", args.text("idempotence", "true"),
            "compression.type", args.text("compression", "none"), "linger.ms", "5", "batch.size", "4096",
            "max.in.flight.requests.per.connection", "5");
        TopicPartition partition = new TopicPartition(args.topic(), 0);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        long time = 1_700_000_000_000L;
        try (Producer<byte[], byte[]> producer = producer(properties)) {
            for (int n = 0; n < count; n++)
                sent.add(producer.send(new ProducerRecord<>(args.topic(), 0, time + n, ("key-" + n).getBytes(UTF_8), body(n),
                    List.of(new RecordHeader("number", Integer.toString(n).getBytes(UTF_8))))));
            producer.flush();
        }
        for (int n = 0; n < count; n++) {
            RecordMetadata metadata = sent.get(n).get(10, TimeUnit.SECONDS);
            if (!acks.equals("0")) Driver.same((long) n, metadata.offset(), "offset of record " + n);
        }
        List<ConsumerRecord<byte[], byte[]>> read = everything(args, partition, count);
        Driver.same(count, read.size(), "records read");
        for (int n = 0; n < count; n++) {
            ConsumerRecord<byte[], byte[]> record = read.get(n);
            Driver.same((long) n, record.offset(), "offset");
            Driver.same("key-" + n, value(record.key()), "key");
            Driver.expect(Arrays.equals(body(n), record.value()), "value of record " + n + " differs");
            Driver.same(time + n, record.timestamp(), "timestamp");
            Driver.same(Integer.toString(n), value(record.headers().lastHeader("number").value()), "header");
        }
        return count + " records";
    }

    /** Text that compresses, but not to nothing. */
    private static byte[] body(int n) {
        StringBuilder text = new StringBuilder("{\"n\":" + n + ",\"text\":\"");
        for (int i = 0; i < 20; i++) text.append("tollgate ").append((n * 31L + i) % 97).append(' ');
        return text.append("\"}").toString().getBytes(UTF_8);
    }

    /** Null and empty keys and values, headers in order with duplicates and null values, a large record, all in one topic. */
    static String shapes(Driver.Args args) throws Exception {
        byte[] large = new byte[900_000];
        for (int n = 0; n < large.length; n++) large[n] = (byte) (n * 7 + n / 251);
        List<Header> headers = List.of(new RecordHeader("trace", "1".getBytes(UTF_8)), new RecordHeader("other", null),
            new RecordHeader("trace", "2".getBytes(UTF_8)), new RecordHeader("", new byte[0]), new RecordHeader("trace", "1".getBytes(UTF_8)),
            new RecordHeader("grüße", "ä".getBytes(UTF_8)));
        List<ProducerRecord<byte[], byte[]>> records = List.of(
            new ProducerRecord<>(args.topic(), 0, null, "value".getBytes(UTF_8)),
            new ProducerRecord<>(args.topic(), 0, "key".getBytes(UTF_8), null),
            new ProducerRecord<>(args.topic(), 0, null, null),
            new ProducerRecord<>(args.topic(), 0, new byte[0], new byte[0]),
            new ProducerRecord<>(args.topic(), 0, 1234L, "headers".getBytes(UTF_8), "x".getBytes(UTF_8), headers),
            new ProducerRecord<>(args.topic(), 0, "large".getBytes(UTF_8), large));
        try (Producer<byte[], byte[]> producer = producer(args.client("compression.type", args.text("compression", "none")))) {
            for (ProducerRecord<byte[], byte[]> record : records) producer.send(record).get(10, TimeUnit.SECONDS);
        }
        List<ConsumerRecord<byte[], byte[]>> read = everything(args, new TopicPartition(args.topic(), 0), records.size());
        Driver.same(records.size(), read.size(), "records read");
        for (int n = 0; n < records.size(); n++) {
            Driver.expect(Arrays.equals(records.get(n).key(), read.get(n).key()), "key " + n);
            Driver.expect(Arrays.equals(records.get(n).value(), read.get(n).value()), "value " + n);
            Driver.same(Arrays.asList(records.get(n).headers().toArray()), Arrays.asList(read.get(n).headers().toArray()), "headers " + n);
        }
        Driver.same(1234L, read.get(4).timestamp(), "timestamp");
        return "";
    }

    /** Records spread by key over partitions: each key in one partition, in order. */
    static String keyed(Driver.Args args) throws Exception {
        int partitions = args.number("partitions", 4);
        try (Producer<byte[], byte[]> producer = producer(args.client())) {
            for (int n = 0; n < 400; n++)
                producer.send(new ProducerRecord<>(args.topic(), ("k" + n % 20).getBytes(UTF_8), Integer.toString(n).getBytes(UTF_8)));
        }
        Map<String, Integer> where = new TreeMap<>();
        Map<String, Integer> last = new TreeMap<>();
        int total = 0;
        for (int p = 0; p < partitions; p++)
            for (ConsumerRecord<byte[], byte[]> record : everything(args, new TopicPartition(args.topic(), p), 0)) {
                String key = value(record.key());
                int n = Integer.parseInt(value(record.value()));
                Driver.same(p, where.getOrDefault(key, p), "partition of " + key);
                Driver.expect(last.getOrDefault(key, -1) < n, "order of " + key);
                where.put(key, p);
                last.put(key, n);
                total++;
            }
        Driver.same(400, total, "records in all");
        Driver.same(20, where.size(), "keys");
        return where.toString();
    }

    /** The broker, not only the client, refuses what exceeds max.message.bytes. */
    static String tooLarge(Driver.Args args) {
        try (Producer<byte[], byte[]> producer = producer(args.client("max.request.size", "5000000"))) {
            Driver.fails(RecordTooLargeException.class,
                () -> producer.send(new ProducerRecord<>(args.topic(), 0, null, new byte[2_000_000])).get(10, TimeUnit.SECONDS));
        }
        return "";
    }

    /** Sends `count` numbered records to partition 0, or from `first` on, and says how each went: offsets, or the exceptions' names. */
    static String numbers(Driver.Args args) throws Exception {
        int count = args.number("count", 10);
        int first = args.number("first", 0);
        Properties properties = args.client("acks", args.text("acks", "all"), "enable.idempotence", args.text("idempotence", "true"));
        List<String> went = new ArrayList<>();
        try (Producer<byte[], byte[]> producer = producer(properties)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = first; n < first + count; n++) {
                sent.add(producer.send(new ProducerRecord<>(args.topic(), 0, null, Integer.toString(n).getBytes(UTF_8))));
                if (args.is("one_by_one")) producer.flush();
            }
            producer.flush();
            for (Future<RecordMetadata> one : sent) went.add(outcome(one));
        }
        return String.join(" ", went);
    }

    /** One flush with a record for each of the topics (comma separated): in one request where one broker leads both. */
    static String several(Driver.Args args) throws Exception {
        List<String> went = new ArrayList<>();
        String[] topics = args.topic().split(",");
        try (Producer<byte[], byte[]> producer = producer(args.client("linger.ms", "200"))) {
            for (String topic : topics) {
                try {
                    producer.partitionsFor(topic);
                } catch (RuntimeException denied) { // the send below says it again
                }
            }
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String topic : topics) sent.add(producer.send(new ProducerRecord<>(topic, 0, null, args.text("value", "{}").getBytes(UTF_8))));
            producer.flush();
            for (int n = 0; n < topics.length; n++) went.add(topics[n] + "=" + outcome(sent.get(n)));
        }
        return String.join(" ", went);
    }

    private static String outcome(Future<RecordMetadata> one) throws Exception {
        try {
            return Long.toString(one.get(30, TimeUnit.SECONDS).offset());
        } catch (ExecutionException e) {
            return e.getCause().getClass().getSimpleName();
        }
    }

    /** Sends the given values (a line each) to partition 0 and says how each went, as numbers() does. */
    static String values(Driver.Args args) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        List<String> went = new ArrayList<>();
        try (Producer<byte[], byte[]> producer = producer(args.client("enable.idempotence", args.text("idempotence", "true")))) {
            for (String value : args.text("values").split("\n"))
                sent.add(producer.send(new ProducerRecord<>(args.topic(), 0, null, value.getBytes(UTF_8))));
            producer.flush();
            for (Future<RecordMetadata> one : sent) went.add(outcome(one));
        }
        return String.join(" ", went);
    }

    /** All values of a partition, in order. */
    static String read(Driver.Args args) {
        List<String> values = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : everything(args, new TopicPartition(args.topic(), args.number("partition", 0)), 0))
            values.add(String.valueOf(value(record.value())));
        return String.join("\n", values);
    }
}
