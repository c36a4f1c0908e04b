import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BinaryNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/**
 * Says one Kafka request at a time to any broker and shows the answer, both as JSON, with Apache Kafka's own
 * message classes: what a client library would hide is seen here. One JSON object a line on standard input:
 *
 *   {"conn": "a", "api": "METADATA", "version": 13, "body": {...}}    send and wait for the answer
 *   {"conn": "a", "send": true, "api": ...}                            send only
 *   {"conn": "a", "recv": true, "timeout_ms": 5000}                    wait for the next answer of that connection
 *   {"conn": "a", "close": true}
 *
 * Fields left out of a body have their defaults. A `records` field may be an object that describes a batch, see batch().
 * The answer is {"body": ...}, {"closed": true}, {"timeout": true} or {"problem": text}.
 */
public class Probe {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ObjectMapper COMMENTED = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);
    private final String host;
    private final int port;
    private final Map<String, Connection> connections = new HashMap<>();
    private int correlation = 0;

    private record Sent(int correlation, ApiKeys api, short version) {}

    private static final class Connection {
        final Socket socket;
        final DataInputStream in;
        final ArrayDeque<Sent> sent = new ArrayDeque<>();

        Connection(String host, int port) throws IOException {
            socket = new Socket(host, port);
            socket.setTcpNoDelay(true);
            in = new DataInputStream(socket.getInputStream());
        }
    }

    private Probe(String host, int port) {
        this.host = host;
        this.port = port;
    }

    public static void main(String[] args) throws Exception {
        String[] address = args[0].split(":");
        Probe probe = new Probe(address[0], Integer.parseInt(address[1]));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer;
            try {
                answer = probe.run(JSON.readTree(line));
            } catch (Exception e) {
                Throwable cause = e;
                while (cause.getCause() != null) cause = cause.getCause();
                answer = JSON.createObjectNode().put("problem", cause.toString());
            }
            out.println(JSON.writeValueAsString(answer));
            out.flush();
        }
    }

    private ObjectNode run(JsonNode line) throws Exception {
        String name = line.path("conn").asText("");
        if (line.path("close").asBoolean()) {
            Connection connection = connections.remove(name);
            if (connection != null) connection.socket.close();
            return JSON.createObjectNode().put("closed", true);
        }
        Connection connection = connections.get(name);
        if (connection == null) {
            connection = new Connection(host, port);
            connections.put(name, connection);
        }
        if (!line.path("recv").asBoolean()) {
            send(connection, line);
            if (line.path("send").asBoolean() || line.path("no_answer").asBoolean()) return JSON.createObjectNode().put("sent", true);
        }
        ObjectNode answer = receive(connection, line.path("timeout_ms").asInt(15_000));
        if (answer.has("closed")) {
            connections.remove(name);
            connection.socket.close();
        }
        return answer;
    }

    private void send(Connection connection, JsonNode line) throws Exception {
        ApiKeys api = ApiKeys.valueOf(line.get("api").asText());
        short version = (short) line.path("version").asInt(api.latestVersion(true));
        short headerVersion = version > api.latestVersion(true) ? 2 : api.requestHeaderVersion(version);
        Sent sent = new Sent(++correlation, api, version);
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(version)
            .setCorrelationId(sent.correlation).setClientId(line.path("client_id").asText("probe"));
        ByteBuffer frame;
        if (line.has("raw")) { // a body as it is, in base64: for what no well-behaved client would say
            byte[] raw = Base64.getDecoder().decode(line.get("raw").asText());
            ObjectSerializationCache cache = new ObjectSerializationCache();
            int size = header.size(cache, headerVersion) + raw.length;
            frame = ByteBuffer.allocate(4 + size).putInt(size);
            header.write(new ByteBufferAccessor(frame), cache, headerVersion);
            frame.put(raw);
        } else {
            ApiMessage body = body(api, version, line.path("body"));
            ObjectSerializationCache cache = new ObjectSerializationCache();
            int size = header.size(cache, headerVersion) + body.size(cache, version);
            frame = ByteBuffer.allocate(4 + size).putInt(size);
            ByteBufferAccessor out = new ByteBufferAccessor(frame);
            header.write(out, cache, headerVersion);
            body.write(out, cache, version);
        }
        connection.socket.getOutputStream().write(frame.array());
        if (!line.path("no_answer").asBoolean()) connection.sent.add(sent);
    }

    private ObjectNode receive(Connection connection, int timeoutMs) throws Exception {
        byte[] bytes;
        try {
            connection.socket.setSoTimeout(timeoutMs);
            bytes = new byte[connection.in.readInt()];
            connection.in.readFully(bytes);
        } catch (EOFException | java.net.SocketException e) {
            return JSON.createObjectNode().put("closed", true);
        } catch (java.net.SocketTimeoutException e) {
            return JSON.createObjectNode().put("timeout", true);
        }
        Sent sent = connection.sent.remove();
        ByteBuffer frame = ByteBuffer.wrap(bytes);
        ByteBufferAccessor in = new ByteBufferAccessor(frame);
        ResponseHeaderData header = new ResponseHeaderData(in, sent.api == ApiKeys.API_VERSIONS ? (short) 0 : sent.api.responseHeaderVersion(sent.version));
        if (header.correlationId() != sent.correlation)
            return JSON.createObjectNode().put("problem", "answer to " + header.correlationId() + ", expected " + sent.correlation);
        short version = sent.version;
        // Sent raw, with a version that these classes do not know: the answer can only be read as version 0.
        if (sent.api == ApiKeys.API_VERSIONS && version > sent.api.latestVersion(true)) version = 0;
        // KIP-511: an ApiVersions request newer than the broker's is answered in the shape of version 0.
        if (sent.api == ApiKeys.API_VERSIONS && version > 0 && frame.remaining() > 1
            && frame.getShort(frame.position()) == 35) version = 0;
        Object body = Class.forName(messageClass(sent.api, "Response")).getConstructor(
            Class.forName("org.apache.kafka.common.protocol.Readable"), short.class).newInstance(in, version);
        ObjectNode answer = JSON.createObjectNode();
        answer.set("body", withRecords(toJson(sent.api, "Response", body, version), body));
        if (frame.hasRemaining()) answer.put("left_over", frame.remaining());
        return answer;
    }

    /** Where a fetch's records were, show what is in them. */
    private static JsonNode withRecords(JsonNode json, Object body) {
        if (!(body instanceof org.apache.kafka.common.message.FetchResponseData fetch)) return json;
        for (int t = 0; t < fetch.responses().size(); t++)
            for (int p = 0; p < fetch.responses().get(t).partitions().size(); p++) {
                MemoryRecords records = (MemoryRecords) fetch.responses().get(t).partitions().get(p).records();
                ObjectNode partition = (ObjectNode) json.get("responses").get(t).get("partitions").get(p);
                if (records == null) continue;
                ArrayNode batches = partition.putArray("records");
                for (MutableRecordBatch batch : records.batches()) {
                    ObjectNode shown = batches.addObject().put("baseOffset", batch.baseOffset()).put("lastOffset", batch.lastOffset())
                        .put("leaderEpoch", batch.partitionLeaderEpoch()).put("compression", batch.compressionType().name)
                        .put("timestampType", batch.timestampType().name).put("producerId", batch.producerId())
                        .put("producerEpoch", batch.producerEpoch()).put("baseSequence", batch.baseSequence());
                    ArrayNode values = shown.putArray("values");
                    for (Record record : batch) values.add(record.hasValue() ? StandardCharsets.UTF_8.decode(record.value()).toString() : null);
                }
            }
        return json;
    }

    private static ApiMessage body(ApiKeys api, short version, JsonNode given) throws Exception {
        ObjectNode whole = given.isObject() ? (ObjectNode) expand(given) : JSON.createObjectNode();
        String name = api.messageType.name.replaceAll("(Request|Response)$", "") + "Request";
        try (InputStream definition = Probe.class.getResourceAsStream("/common/message/" + name + ".json")) {
            JsonNode schema = COMMENTED.readTree(definition);
            Map<String, JsonNode> structs = new HashMap<>();
            for (JsonNode struct : schema.path("commonStructs")) structs.put(struct.get("name").asText(), struct.get("fields"));
            fill(whole, schema.get("fields"), structs, version);
        }
        Class<?> converter = Class.forName(messageClass(api, "Request") + "JsonConverter");
        return (ApiMessage) converter.getMethod("read", JsonNode.class, short.class).invoke(null, whole, version);
    }

    /** Gives every field that was left out the default of Kafka's definition, which ships in the jar. */
    private static void fill(ObjectNode node, JsonNode fields, Map<String, JsonNode> structs, short version) {
        for (JsonNode field : fields) {
            if (!within(field.path("versions").asText("none"), version)) continue;
            String capital = field.get("name").asText();
            String name = capital.substring(0, 1).toLowerCase(Locale.ROOT) + capital.substring(1);
            String type = field.get("type").asText();
            boolean array = type.startsWith("[]");
            JsonNode inner = field.has("fields") ? field.get("fields") : structs.get(array ? type.substring(2) : type);
            JsonNode value = node.get(name);
            String given = field.path("default").asText("");
            if (value == null) {
                if (given.equals("null") && !within(field.path("nullableVersions").asText("none"), version)) given = "";
                value = given.equals("null") ? NullNode.instance
                    : array ? JSON.createArrayNode()
                    : switch (type) {
                        case "bool" -> BooleanNode.valueOf(Boolean.parseBoolean(given));
                        case "string" -> TextNode.valueOf(given);
                        case "bytes" -> new BinaryNode(new byte[0]);
                        case "records" -> NullNode.instance;
                        case "uuid" -> TextNode.valueOf("AAAAAAAAAAAAAAAAAAAAAA");
                        case "float64" -> DoubleNode.valueOf(0);
                        default -> inner != null ? JSON.createObjectNode() : LongNode.valueOf(given.isEmpty() ? 0 : Long.decode(given));
                    };
                node.set(name, value);
            }
            if (inner == null) continue;
            if (value instanceof ObjectNode object) fill(object, inner, structs, version);
            if (value instanceof ArrayNode elements)
                for (JsonNode element : elements) fill((ObjectNode) element, inner, structs, version);
        }
    }

    private static boolean within(String range, short version) {
        if (range.equals("none")) return false;
        if (range.endsWith("+")) return version >= Short.parseShort(range.substring(0, range.length() - 1));
        String[] ends = range.split("-");
        return version >= Short.parseShort(ends[0]) && version <= Short.parseShort(ends[ends.length - 1]);
    }

    /** Replaces every `records` object by the batch it describes. */
    private static JsonNode expand(JsonNode node) throws Exception {
        if (node instanceof ObjectNode object) {
            for (Iterator<Map.Entry<String, JsonNode>> fields = object.fields(); fields.hasNext(); ) {
                Map.Entry<String, JsonNode> field = fields.next();
                if (field.getKey().equals("records") && field.getValue().isObject()) field.setValue(batch(field.getValue()));
                else expand(field.getValue());
            }
        } else if (node instanceof ArrayNode array) {
            for (JsonNode child : array) expand(child);
        }
        return node;
    }

    /** {"values": [...], "compression": "lz4", "producer_id": 1, "epoch": 0, "sequence": 0, "timestamp": ms, "magic": 2, "break_crc": true} */
    private static JsonNode batch(JsonNode node) {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 16);
        byte magic = (byte) node.path("magic").asInt(2);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(buffer, magic,
            Compression.of(CompressionType.forName(node.path("compression").asText("none"))).build(),
            TimestampType.CREATE_TIME, node.path("base_offset").asLong(0), RecordBatch.NO_TIMESTAMP,
            node.path("producer_id").asLong(-1), (short) node.path("epoch").asInt(-1), node.path("sequence").asInt(-1),
            node.path("transactional").asBoolean(), false, -1, buffer.capacity());
        long timestamp = node.path("timestamp").asLong(System.currentTimeMillis());
        List<Header> headers = new ArrayList<>();
        for (JsonNode pair : node.path("headers"))
            headers.add(new RecordHeader(pair.get(0).asText(), pair.get(1).asText().getBytes(StandardCharsets.UTF_8)));
        for (JsonNode value : node.get("values")) {
            byte[] bytes = value.isNull() ? null : value.asText().getBytes(StandardCharsets.UTF_8);
            byte[] key = node.has("key") ? node.get("key").asText().getBytes(StandardCharsets.UTF_8) : null;
            builder.append(timestamp, key, bytes, magic < 2 ? new Header[0] : headers.toArray(new Header[0]));
        }
        ByteBuffer built = builder.build().buffer();
        byte[] bytes = new byte[built.remaining()];
        built.get(bytes);
        if (node.path("break_crc").asBoolean()) bytes[bytes.length - 1] ^= 1;
        if (node.has("cut")) bytes = java.util.Arrays.copyOf(bytes, bytes.length - node.get("cut").asInt());
        return new BinaryNode(bytes);
    }

    private static JsonNode toJson(ApiKeys api, String side, Object message, short version) throws Exception {
        Class<?> converter = Class.forName(messageClass(api, side) + "JsonConverter");
        for (Method method : converter.getMethods())
            if (method.getName().equals("write") && method.getParameterCount() == 2)
                return (JsonNode) method.invoke(null, message, version);
        throw new IllegalStateException("no converter for " + api);
    }

    private static String messageClass(ApiKeys api, String side) {
        return "org.apache.kafka.common.message." + api.messageType.name.replaceAll("(Request|Response)$", "") + side + "Data";
    }
}
