import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.protocol.Errors;

/** Every error code of Kafka's, answered by a rule to what is asked about a topic named after it: the exception is Kafka's own. */
public class ErrorChecks {
    private static final int WAIT = 30;

    static String codes(Driver.Args args) throws Exception {
        StringBuilder wrong = new StringBuilder();
        int right = 0;
        // What a client would ask again for until its time is up: one try, and the cause of the timeout counts.
        try (Admin admin = Admin.create(args.client("retries", "0", "default.api.timeout.ms", "2000", "request.timeout.ms", "1500"))) {
            Map<String, Map<Errors, KafkaFuture<?>>> asked = new LinkedHashMap<>();
            for (Errors error : Errors.values()) {
                if (error == Errors.NONE) continue;
                String topic = args.topic() + "-" + error.name();
                ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
                AlterConfigOp op = new AlterConfigOp(new ConfigEntry("retention.ms", "1000"), AlterConfigOp.OpType.SET);
                note(asked, "createTopics", error, admin.createTopics(List.of(new NewTopic(topic, Optional.of(1), Optional.empty()))).values().get(topic));
                note(asked, "deleteTopics", error, admin.deleteTopics(List.of(topic)).topicNameValues().get(topic));
                note(asked, "createPartitions", error, admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).values().get(topic));
                note(asked, "describeConfigs", error, admin.describeConfigs(List.of(resource)).values().get(resource));
                note(asked, "incrementalAlterConfigs", error, admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).values().get(resource));
            }
            for (var api : asked.entrySet()) {
                for (var one : api.getValue().entrySet()) {
                    String problem = problem(one.getKey(), one.getValue());
                    if (problem == null) right++;
                    else wrong.append(api.getKey()).append(' ').append(one.getKey()).append(": ").append(problem).append('\n');
                }
            }
        }
        if (wrong.length() > 0) throw new AssertionError(wrong.toString());
        return Integer.toString(right);
    }

    private static void note(Map<String, Map<Errors, KafkaFuture<?>>> asked, String api, Errors error, KafkaFuture<?> future) {
        asked.computeIfAbsent(api, any -> new LinkedHashMap<>()).put(error, future);
    }

    private static String problem(Errors error, KafkaFuture<?> future) throws Exception {
        try {
            future.get(WAIT, TimeUnit.SECONDS);
            return "no exception";
        } catch (ExecutionException e) {
            for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
                if (cause.getClass() == error.exception().getClass()) return null;
            }
            return e.getCause().toString();
        }
    }
}
