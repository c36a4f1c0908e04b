import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.KafkaStorageException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.requests.AbstractRequest;
import org.apache.kafka.common.requests.AbstractResponse;
import org.apache.kafka.common.requests.RequestUtils;

/**
 * Frames as Kafka's own classes write them, one a line: api key, version, direction, variant, hex (no length prefix).
 *
 *   java -cp kafka-clients-4.4.0.jar:slf4j-api-1.7.36.jar Frames.java write  > frames.txt
 *   java -cp ...                                          Frames.java errors > errors.txt
 *   java -cp ...                                          Frames.java random 20 > random.txt
 *   java -cp ...                                          Frames.java read   < lines that something else wrote
 *   java -cp ...                                          Frames.java counts < replies that something else made
 *
 * `write` fills every message from its schema: "full" has every field and tag, "null" has null wherever that is legal
 * and tags nobody knows, "default" is a fresh object. `errors` pairs each "full" request with the response that
 * Kafka's classes make of it for a KafkaStorageException without a message. `random` has messages whose every value, length
 * and null is drawn, always the same. `read` parses lines of that form, writes them again and fails unless the bytes are the same.
 * `counts` takes replies to the "full" request of an api, the variant being the error code, and fails unless Kafka's parser reads
 * each to its last byte and finds in it the error codes, and as many, that Kafka's own reply to that request has.
 */
public class Frames {
    /** Every api that a broker's listener has. */
    static final List<Short> KEYS = ApiKeys.brokerApis().stream().map(key -> key.id).sorted().toList();
    static final int CORRELATION_ID = 0x01020304;

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "write" -> write();
            case "errors" -> errors();
            case "random" -> random(Integer.parseInt(args[1]));
            case "read" -> read();
            case "counts" -> counts();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static void write() {
        for (short key : KEYS) {
            ApiMessageType type = ApiMessageType.fromApiKey(key);
            for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                for (boolean request : new boolean[] {true, false}) {
                    boolean newest = v == type.highestSupportedVersion(true);
                    print(key, v, request, "full", fill(type, v, request, false), false);
                    print(key, v, request, "null", fill(type, v, request, true), true);
                    if (newest) print(key, v, request, "default", fresh(type, request), false);
                }
            }
        }
    }

    static void errors() {
        for (short key : KEYS) {
            ApiMessageType type = ApiMessageType.fromApiKey(key);
            for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                ApiMessage request = fill(type, v, true, false);
                print(key, v, true, "failed", request, false);
                ByteBufferAccessor body = MessageUtil.toByteBufferAccessor(request, v);
                AbstractRequest parsed = AbstractRequest.parseRequest(ApiKeys.forId(key), v, body).request;
                print(key, v, false, "error", parsed.getErrorResponse(0, new KafkaStorageException((String) null)).data(), false);
            }
        }
    }

    static void random(int each) {
        for (short key : KEYS) {
            ApiMessageType type = ApiMessageType.fromApiKey(key);
            for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                for (boolean request : new boolean[] {true, false}) {
                    for (int n = 0; n < each; n++) {
                        draw = new Random(((long) key << 32) + (v << 16) + (request ? 1 << 15 : 0) + n);
                        print(key, v, request, "random-" + n, fill(type, v, request, false), draw.nextBoolean());
                    }
                    draw = null;
                }
            }
        }
    }

    static void counts() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int good = 0;
        TreeSet<String> nowhere = new TreeSet<>();
        TreeMap<String, String> bad = new TreeMap<>();
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ");
            short key = Short.parseShort(words[0]), v = Short.parseShort(words[1]), code = Short.parseShort(words[3]);
            ApiMessageType type = ApiMessageType.fromApiKey(key);
            String problem;
            try {
                ByteBufferAccessor frame = new ByteBufferAccessor(ByteBuffer.wrap(HexFormat.of().parseHex(words[4])));
                new ResponseHeaderData(frame, type.responseHeaderVersion(v));
                Map<Errors, Integer> ours = AbstractResponse.parseResponse(ApiKeys.forId(key), frame, v).errorCounts();
                ByteBufferAccessor body = MessageUtil.toByteBufferAccessor(fill(type, v, true, false), v);
                AbstractRequest request = AbstractRequest.parseRequest(ApiKeys.forId(key), v, body).request;
                Errors error = Errors.forCode(code);
                ByteBufferAccessor reply = MessageUtil.toByteBufferAccessor(request.getErrorResponse(0, error.exception()).data(), v);
                Map<Errors, Integer> theirs = AbstractResponse.parseResponse(ApiKeys.forId(key), reply, v).errorCounts();
                if (theirs.getOrDefault(error, 0) == 0) nowhere.add(type.name + " " + v);
                problem = frame.remaining() > 0 ? frame.remaining() + " bytes left"
                    : !ours.getOrDefault(error, 0).equals(theirs.getOrDefault(error, 0)) ? ours + " and not " + theirs : null;
            } catch (Exception e) {
                problem = e.toString();
            }
            if (problem == null) good++;
            else bad.putIfAbsent(type.name + " " + v, Errors.forCode(code) + ": " + problem);
        }
        bad.forEach((which, problem) -> System.out.println(which + ": " + problem));
        System.out.println("no place for an error in: " + nowhere);
        System.out.println(good + " replies count their errors as Kafka's do");
        if (!bad.isEmpty() || good == 0) System.exit(1);
    }

    static void read() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int good = 0, bad = 0;
        for (String line; (line = in.readLine()) != null; ) {
            if (line.startsWith("#")) continue;
            String[] words = line.split(" ");
            short key = Short.parseShort(words[0]), v = Short.parseShort(words[1]);
            boolean request = words[2].equals("request");
            ApiMessageType type = ApiMessageType.fromApiKey(key);
            try {
                byte[] bytes = HexFormat.of().parseHex(words[4]);
                ByteBufferAccessor in2 = new ByteBufferAccessor(ByteBuffer.wrap(bytes));
                short hv = request ? type.requestHeaderVersion(v) : type.responseHeaderVersion(v);
                ApiMessage header = request ? new RequestHeaderData(in2, hv) : new ResponseHeaderData(in2, hv);
                ApiMessage body = fresh(type, request);
                body.read(in2, v);
                if (in2.remaining() != 0) throw new IllegalStateException(in2.remaining() + " bytes left");
                byte[] again = bytes(RequestUtils.serialize(header, hv, body, v));
                if (!java.util.Arrays.equals(bytes, again)) throw new IllegalStateException("written again as " + HexFormat.of().formatHex(again));
                good++;
            } catch (Exception e) {
                bad++;
                System.out.println(type.name + " " + v + " " + words[2] + " " + words[3] + ": " + e);
            }
        }
        System.out.println(good + " frames read and written alike, " + bad + " not");
        if (bad > 0 || good == 0) System.exit(1);
    }

    static ApiMessage fresh(ApiMessageType type, boolean request) {
        return request ? type.newRequest() : type.newResponse();
    }

    static void print(short key, short v, boolean request, String variant, ApiMessage body, boolean tags) {
        ApiMessageType type = ApiMessageType.fromApiKey(key);
        short hv = request ? type.requestHeaderVersion(v) : type.responseHeaderVersion(v);
        ApiMessage header = request
            ? new RequestHeaderData().setRequestApiKey(key).setRequestApiVersion(v).setCorrelationId(CORRELATION_ID)
                .setClientId(tags ? null : "client")
            : new ResponseHeaderData().setCorrelationId(CORRELATION_ID);
        boolean flexible = request ? hv >= 2 : hv >= 1;
        if (tags && flexible) header.unknownTaggedFields().add(new RawTaggedField(300, new byte[] {1, 2}));
        System.out.println(key + " " + v + " " + (request ? "request" : "response") + " " + variant + " "
            + HexFormat.of().formatHex(bytes(RequestUtils.serialize(header, hv, body, v))));
    }

    static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    // Values come from a counter, so that no two fields are alike, or are drawn where there is something to draw from.
    static int counter;
    static Random draw;

    /** A message that went through its class: filled by schema, read by the class, which then writes it its own way. */
    static ApiMessage fill(ApiMessageType type, short v, boolean request, boolean nulls) {
        counter = 0;
        Schema schema = (request ? type.requestSchemas() : type.responseSchemas())[v];
        Struct struct = struct(schema, nulls, 2);
        ByteBuffer buffer = ByteBuffer.allocate(schema.sizeOf(struct));
        schema.write(buffer, struct);
        buffer.flip();
        ApiMessage message = fresh(type, request);
        message.read(new ByteBufferAccessor(buffer), v);
        return message;
    }

    static Struct struct(Schema schema, boolean nulls, int elements) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, value(field.def.name, field.def.type, nulls, elements));
        }
        return struct;
    }

    static Object value(String name, Type type, boolean nulls, int elements) {
        if (type instanceof TaggedFields tagged) {
            TreeMap<Integer, Object> fields = new TreeMap<>();
            if (draw != null) {
                tagged.fields().forEach((tag, f) -> {
                    if (draw.nextBoolean()) fields.put(tag, value(f.name, f.type, false, elements));
                });
                if (draw.nextInt(4) == 0) fields.put(1000 + draw.nextInt(9), new RawTaggedField(1000, drawn(draw.nextInt(5))));
            } else if (nulls) fields.put(1000 + counter++, new RawTaggedField(1000, new byte[] {(byte) counter, 0}));
            else tagged.fields().forEach((tag, f) -> fields.put(tag, value(f.name, f.type, false, elements)));
            return fields;
        }
        if (type.isNullable() && (draw == null ? nulls : draw.nextInt(4) == 0)) return null;
        if (type instanceof Schema schema) return struct(schema, nulls, elements);
        if (type.isArray()) {
            Object[] items = new Object[draw == null ? elements : draw.nextInt(4)];
            for (int i = 0; i < items.length; i++) items[i] = value(name, type.arrayElementType().get(), nulls, 1);
            return items;
        }
        String kind = type.toString();
        if (draw != null) return drawn(kind);
        int n = ++counter;
        if (kind.endsWith("STRING")) return name.substring(0, Math.min(6, name.length())) + n;
        if (kind.endsWith("RECORDS")) return MemoryRecords.readableRecords(ByteBuffer.wrap(new byte[] {(byte) n, 9, 9}));
        if (kind.endsWith("BYTES")) return ByteBuffer.wrap(new byte[] {(byte) n, (byte) 0xfe});
        return switch (kind) {
            case "BOOLEAN" -> true;
            case "INT8" -> (byte) n;
            case "INT16" -> (short) (n + 256);
            case "INT32" -> n + 65536;
            case "INT64" -> n + (1L << 40);
            case "UINT16" -> n + 32768;
            case "FLOAT64" -> n + 0.5;
            case "UUID" -> new Uuid(n, -n);
            default -> throw new IllegalStateException(kind);
        };
    }

    static Object drawn(String kind) {
        if (kind.endsWith("STRING")) return draw.ints(draw.nextInt(9), ' ', 0x2fff).collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append).toString();
        if (kind.endsWith("RECORDS")) return MemoryRecords.readableRecords(ByteBuffer.wrap(drawn(draw.nextInt(300))));
        if (kind.endsWith("BYTES")) return ByteBuffer.wrap(drawn(draw.nextInt(300)));
        return switch (kind) {
            case "BOOLEAN" -> draw.nextBoolean();
            case "INT8" -> (byte) draw.nextInt();
            case "INT16" -> (short) draw.nextInt();
            case "INT32" -> draw.nextInt();
            case "INT64" -> draw.nextLong();
            case "UINT16" -> draw.nextInt(65536);
            case "FLOAT64" -> draw.nextGaussian();
            case "UUID" -> new Uuid(draw.nextLong(), draw.nextLong());
            default -> throw new IllegalStateException(kind);
        };
    }

    static byte[] drawn(int length) {
        byte[] bytes = new byte[length];
        draw.nextBytes(bytes);
        return bytes;
    }
}
