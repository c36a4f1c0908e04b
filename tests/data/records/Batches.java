// Writes record batches with kafka-clients' own builder, and says what kafka-clients reads in a file.
//
//   CP=kafka-clients-4.4.0.jar:lz4-java.jar:snappy-java.jar:zstd-jni.jar:slf4j-api.jar
//   java -cp $CP Batches.java write DIR     one DIR/<codec>.bin and DIR/<codec>.txt a codec
//   java -cp $CP Batches.java read FILE...  the same text for any files of batches, to standard output
//
// The files beside this one were made by the first command with kafka-clients 4.4.0. The second is how what Tollgate
// rebuilds was read back (tests/record_interop.rs says how).

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.internals.BufferSupplier;
import org.apache.kafka.common.utils.internals.ByteBufferOutputStream;

public class Batches {
    static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            for (String codec : CODECS) {
                byte[] bytes = write(Compression.of(codec).build());
                Files.write(Path.of(args[1], codec + ".bin"), bytes);
                Files.writeString(Path.of(args[1], codec + ".txt"), read(bytes));
            }
        } else {
            for (int i = 1; i < args.length; i++)
                System.out.print(read(Files.readAllBytes(Path.of(args[i]))));
        }
    }

    static byte[] write(Compression codec) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();

        // Nulls, empties, repeated headers, as a producer without idempotence sends them.
        MemoryRecordsBuilder b = builder(codec, TimestampType.CREATE_TIME, 0, -1, -1L, (short) -1, -1, false, false, 0, -1);
        b.appendWithOffset(0, 1_700_000_000_000L, utf8("key"), utf8("{\"email\":\"ada@example.com\"}"),
            new Header[] {header("h", "1"), header("h", "2"), header("nothing", null), header("é", "")});
        b.appendWithOffset(1, 1_699_999_999_000L, (byte[]) null, (byte[]) null, new Header[0]);
        b.appendWithOffset(2, 1_700_000_000_500L, new byte[0], new byte[0], new Header[0]);
        out.write(done(b));

        // Transactional, the broker's time, a sequence that wraps, a leader epoch.
        b = builder(codec, TimestampType.LOG_APPEND_TIME, 100, 1_700_000_000_777L, 4711L, (short) 3, Integer.MAX_VALUE, true, false, 7, -1);
        b.appendWithOffset(100, 1_700_000_000_000L, utf8("a"), utf8("1"), new Header[0]);
        b.appendWithOffset(101, 1_700_000_000_001L, utf8("b"), utf8("2"), new Header[0]);
        out.write(done(b));

        // Compacted: holes between the offsets and after them, a delete horizon.
        b = builder(codec, TimestampType.CREATE_TIME, 200, -1, 9L, (short) 0, 40, false, false, 8, 1_700_000_100_000L);
        b.appendWithOffset(203, 1_700_000_000_000L, utf8("x"), utf8("kept"), new Header[0]);
        b.appendWithOffset(207, 1_700_000_000_009L, utf8("y"), (byte[]) null, new Header[0]);
        b.overrideLastOffset(250);
        out.write(done(b));

        // What is left when all records of a batch are compacted away.
        ByteBuffer empty = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(empty, (byte) 2, 9L, (short) 0, 91, 251, 299, 8, TimestampType.CREATE_TIME,
            1_700_000_000_020L, false, false);
        out.write(empty.array());

        // Larger than any codec's block, in records small and large.
        b = builder(codec, TimestampType.CREATE_TIME, 300, -1, -1L, (short) -1, -1, false, false, 8, -1);
        for (int i = 0; i < 400; i++)
            b.appendWithOffset(300 + i, 1_700_000_001_000L + i, utf8("user-" + i % 17),
                utf8("{\"id\":" + i + ",\"email\":\"user" + i % 17 + "@example.com\",\"text\":\"the quick brown fox jumps\"}"), new Header[0]);
        b.appendWithOffset(700, 1_700_000_009_000L, utf8("large"), utf8("0123456789abcdef".repeat(20_000)), new Header[0]);
        if (codec.type() != CompressionType.NONE)
            out.write(done(b));

        // A marker: never compressed, never rewritten.
        b = builder(Compression.NONE, TimestampType.CREATE_TIME, 2000, -1, 4711L, (short) 3, -1, true, true, 8, -1);
        b.appendEndTxnMarker(1_700_000_002_000L, new EndTransactionMarker(ControlRecordType.COMMIT, 5));
        out.write(done(b));
        return out.toByteArray();
    }

    static MemoryRecordsBuilder builder(Compression codec, TimestampType type, long baseOffset, long appendTime, long producerId,
            short epoch, int sequence, boolean transactional, boolean control, int leaderEpoch, long deleteHorizon) {
        return new MemoryRecordsBuilder(new ByteBufferOutputStream(1024), (byte) 2, codec, type, baseOffset, appendTime,
            producerId, epoch, sequence, transactional, control, leaderEpoch, Integer.MAX_VALUE, deleteHorizon);
    }

    static byte[] done(MemoryRecordsBuilder b) {
        ByteBuffer buffer = b.build().buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static String read(byte[] bytes) {
        StringBuilder s = new StringBuilder();
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)).batches()) {
            batch.ensureValid();
            s.append("batch ").append(batch.baseOffset()).append("..").append(batch.lastOffset())
                .append(" epoch ").append(batch.partitionLeaderEpoch())
                .append(" codec ").append(batch.compressionType().name)
                .append(" time ").append(batch.timestampType() == TimestampType.LOG_APPEND_TIME ? "append" : "create")
                .append(" max ").append(batch.maxTimestamp())
                .append(" producer ").append(batch.producerId()).append('/').append(batch.producerEpoch())
                .append(" sequence ").append(batch.baseSequence()).append("..").append(batch.lastSequence())
                .append(batch.isTransactional() ? " transactional" : "")
                .append(batch.isControlBatch() ? " control" : "")
                .append(batch.deleteHorizonMs().isPresent() ? " horizon " + batch.deleteHorizonMs().getAsLong() : "")
                .append(" count ").append(batch.countOrNull()).append('\n');
            // The way consumers read, which opens the codec even when there is nothing to read.
            try (var records = batch.streamingIterator(BufferSupplier.NO_CACHING)) {
                while (records.hasNext()) {
                    org.apache.kafka.common.record.internal.Record record = records.next();
                    s.append("  ").append(record.offset()).append(" at ").append(record.timestamp())
                        .append(' ').append(bytes(record.key())).append(" = ").append(bytes(record.value()));
                    for (Header header : record.headers())
                        s.append(" [").append(bytes(ByteBuffer.wrap(utf8(header.key())))).append(": ")
                            .append(bytes(header.value() == null ? null : ByteBuffer.wrap(header.value()))).append(']');
                    s.append('\n');
                }
            }
        }
        return s.toString();
    }

    // Short ones in hexadecimal, long ones by length and hash.
    static String bytes(ByteBuffer buffer) {
        if (buffer == null)
            return "null";
        int hash = 0;
        StringBuilder s = new StringBuilder("'");
        for (int i = buffer.position(); i < buffer.limit(); i++) {
            hash = 31 * hash + buffer.get(i);
            if (buffer.remaining() <= 32)
                s.append(String.format("%02x", buffer.get(i)));
        }
        return buffer.remaining() <= 32 ? s + "'" : buffer.remaining() + "#" + hash;
    }

    static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static Header header(String key, String value) {
        return new RecordHeader(key, value == null ? null : utf8(value));
    }
}
