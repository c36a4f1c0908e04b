import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.KafkaStorageException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.requests.AbstractRequest;
import org.apache.kafka.common.requests.RequestUtils;

/**
 * Frames as Kafka's own classes write them, one a line: api key, version, direction, variant, hex (no length prefix).
 *
 *   java -cp kafka-clients-4.4.0.jar:slf4j-api-1.7.36.jar Frames.java write  > frames.txt
 *   java -cp ...                                          Frames.java errors > errors.txt
 *   java -cp ...                                          Frames.java read   < lines that something else wrote
 *
 * `write` fills every message from its schema: "full" has every field and tag, "null" has null wherever that is legal
 * and tags nobody knows, "default" is a fresh object. `errors` pairs each "full" request with the response that
 * Kafka's classes make of it for a KafkaStorageException without a message. `read` parses lines of that form, writes
 * them again and fails unless the bytes are the same.
 */
public class Frames {
    /** Every api that a broker's listener has. */
    static final List<Short> KEYS = ApiKeys.brokerApis().stream().map(key -> key.id).sorted().toList();
    static final int CORRELATION_ID = 0x01020304;

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "write" -> write();
            case "errors" -> errors();
            case "read" -> read();
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

    // Values come from a counter, so that no two fields are alike.
    static int counter;

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
            if (nulls) fields.put(1000 + counter++, new RawTaggedField(1000, new byte[] {(byte) counter, 0}));
            else tagged.fields().forEach((tag, f) -> fields.put(tag, value(f.name, f.type, false, elements)));
            return fields;
        }
        if (type.isNullable() && nulls) return null;
        if (type instanceof Schema schema) return struct(schema, nulls, elements);
        if (type.isArray()) {
            Object[] items = new Object[elements];
            for (int i = 0; i < items.length; i++) items[i] = value(name, type.arrayElementType().get(), nulls, 1);
            return items;
        }
        int n = ++counter;
        String kind = type.toString();
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
}
