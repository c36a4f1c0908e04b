import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin client's view: topics, configs, offsets, groups. */
public class AdminChecks {
    private static final int WAIT = 15;

    private static Admin admin(Driver.Args args) {
        return Admin.create(args.client("default.api.timeout.ms", "20000", "request.timeout.ms", "15000"));
    }

    static String create(Driver.Args args) throws Exception {
        try (Admin admin = admin(args)) {
            NewTopic topic = new NewTopic(args.topic(), Optional.of(args.number("partitions", 1)), Optional.<Short>empty());
            admin.createTopics(List.of(topic)).all().get(WAIT, TimeUnit.SECONDS);
            appears(admin, args.topic());
            return "";
        }
    }

    private static TopicDescription appears(Admin admin, String topic) {
        TopicDescription[] found = {null};
        Driver.until(topic + " is described", java.time.Duration.ofSeconds(15), () -> {
            try {
                found[0] = admin.describeTopics(List.of(topic)).allTopicNames().get(WAIT, TimeUnit.SECONDS).get(topic);
                return true;
            } catch (Exception e) {
                return false;
            }
        });
        return found[0];
    }

    /** What one may do to a topic and to the cluster. */
    static String operations(Driver.Args args) throws Exception {
        try (Admin admin = admin(args)) {
            DescribeTopicsOptions ofTopics = new DescribeTopicsOptions().includeAuthorizedOperations(true);
            TopicDescription topic = admin.describeTopics(List.of(args.topic()), ofTopics).allTopicNames().get(WAIT, TimeUnit.SECONDS).get(args.topic());
            DescribeClusterOptions ofCluster = new DescribeClusterOptions().includeAuthorizedOperations(true);
            Set<AclOperation> cluster = admin.describeCluster(ofCluster).authorizedOperations().get(WAIT, TimeUnit.SECONDS);
            return "topic " + names(topic.authorizedOperations()) + "\ncluster " + names(cluster);
        }
    }

    private static String names(Set<AclOperation> operations) {
        Set<String> names = new TreeSet<>();
        operations.forEach(operation -> names.add(operation.name()));
        return String.join(" ", names);
    }

    static String topics(Driver.Args args) throws Exception {
        String name = args.topic();
        try (Admin admin = admin(args)) {
            NewTopic topic = new NewTopic(name, 3, (short) 1).configs(Map.of("retention.ms", "7200000"));
            Driver.same(null, admin.createTopics(List.of(topic), new CreateTopicsOptions().validateOnly(true)).all().get(WAIT, TimeUnit.SECONDS), "validate only");
            Driver.expect(!admin.listTopics().names().get(WAIT, TimeUnit.SECONDS).contains(name), "validate only created it");
            CreateTopicsResult made = admin.createTopics(List.of(topic));
            Uuid id = made.topicId(name).get(WAIT, TimeUnit.SECONDS);
            Driver.same(3, made.numPartitions(name).get(), "partitions");
            Driver.same(1, made.replicationFactor(name).get(), "replication");
            Driver.same("7200000", made.config(name).get().get("retention.ms").value(), "config in the answer");
            TopicDescription seen = appears(admin, name);
            Driver.same(id, seen.topicId(), "id");
            Driver.same(3, seen.partitions().size(), "described partitions");
            Driver.same(1, seen.partitions().get(2).isr().size(), "isr");
            Driver.same(id, admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get(WAIT, TimeUnit.SECONDS).get(id).topicId(), "described by id");
            Driver.expect(admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get(WAIT, TimeUnit.SECONDS).contains(name), "listed");
            Driver.fails(TopicExistsException.class, () -> admin.createTopics(List.of(topic)).all().get(WAIT, TimeUnit.SECONDS));
            Driver.fails(InvalidTopicException.class, () -> admin.createTopics(List.of(new NewTopic("no good", 1, (short) 1))).all().get(WAIT, TimeUnit.SECONDS));
            Driver.fails(InvalidPartitionsException.class, () -> admin.createTopics(List.of(new NewTopic(name + "-0", 0, (short) 1))).all().get(WAIT, TimeUnit.SECONDS));
            Driver.fails(InvalidReplicationFactorException.class, () -> admin.createTopics(List.of(new NewTopic(name + "-0", 1, (short) 3))).all().get(WAIT, TimeUnit.SECONDS));
            Driver.fails(InvalidConfigurationException.class, () -> admin.createTopics(List.of(new NewTopic(name + "-0", 1, (short) 1).configs(Map.of("no.such", "1")))).all().get(WAIT, TimeUnit.SECONDS));
            admin.createPartitions(Map.of(name, NewPartitions.increaseTo(5))).all().get(WAIT, TimeUnit.SECONDS);
            Driver.until("five partitions", java.time.Duration.ofSeconds(15), () -> appears(admin, name).partitions().size() == 5);
            Driver.fails(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(name, NewPartitions.increaseTo(2))).all().get(WAIT, TimeUnit.SECONDS));
            admin.deleteTopics(List.of(name)).all().get(WAIT, TimeUnit.SECONDS);
            Driver.until("it is gone", java.time.Duration.ofSeconds(15), () -> {
                try {
                    return !admin.listTopics().names().get(WAIT, TimeUnit.SECONDS).contains(name);
                } catch (Exception e) {
                    return false;
                }
            });
            Driver.fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(name)).all().get(WAIT, TimeUnit.SECONDS));
            CreateTopicsResult again = admin.createTopics(List.of(topic));
            Uuid other = again.topicId(name).get(WAIT, TimeUnit.SECONDS);
            Driver.expect(!other.equals(id), "a new topic of that name has a new id");
            admin.deleteTopics(TopicCollection.ofTopicIds(List.of(other))).all().get(WAIT, TimeUnit.SECONDS);
        }
        return "";
    }

    static String cluster(Driver.Args args) throws Exception {
        try (Admin admin = admin(args)) {
            Collection<Node> nodes = admin.describeCluster().nodes().get(WAIT, TimeUnit.SECONDS);
            Driver.same(1, nodes.size(), "nodes");
            Node node = nodes.iterator().next();
            Driver.same(args.text("bootstrap"), node.host() + ":" + node.port(), "address");
            Driver.same(node.id(), admin.describeCluster().controller().get(WAIT, TimeUnit.SECONDS).id(), "controller");
            Driver.expect(admin.describeCluster().clusterId().get(WAIT, TimeUnit.SECONDS).length() > 5, "cluster id");
            admin.describeFeatures().featureMetadata().get(WAIT, TimeUnit.SECONDS);
            return "";
        }
    }

    static String configs(Driver.Args args) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, args.topic());
        try (Admin admin = admin(args)) {
            Config before = admin.describeConfigs(List.of(topic)).all().get(WAIT, TimeUnit.SECONDS).get(topic);
            ConfigEntry retention = before.get("retention.ms");
            Driver.same("604800000", retention.value(), "default retention");
            Driver.same(ConfigEntry.ConfigSource.DEFAULT_CONFIG, retention.source(), "source");
            Driver.expect(retention.isDefault(), "is default");
            for (String name : List.of("cleanup.policy", "compression.type", "max.message.bytes", "message.timestamp.type", "min.insync.replicas",
                    "retention.bytes", "segment.bytes", "segment.ms"))
                Driver.expect(before.get(name) != null, name + " is described");
            alter(admin, topic, "retention.ms", "60000", AlterConfigOp.OpType.SET);
            alter(admin, topic, "max.message.bytes", "20000", AlterConfigOp.OpType.SET);
            Driver.until("the change is seen", java.time.Duration.ofSeconds(15), () -> entry(admin, topic, "retention.ms").value().equals("60000"));
            Driver.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, entry(admin, topic, "retention.ms").source(), "source of a set one");
            alter(admin, topic, "retention.ms", "", AlterConfigOp.OpType.DELETE);
            Driver.until("the default is back", java.time.Duration.ofSeconds(15), () -> entry(admin, topic, "retention.ms").value().equals("604800000"));
            Driver.same("20000", entry(admin, topic, "max.message.bytes").value(), "the other one");
            Driver.fails(InvalidConfigurationException.class, () -> {
                alter(admin, topic, "retention.ms", "soon", AlterConfigOp.OpType.SET);
                return null;
            });
            Driver.fails(UnknownTopicOrPartitionException.class, () -> {
                alter(admin, new ConfigResource(ConfigResource.Type.TOPIC, args.topic() + "-nope"), "retention.ms", "1", AlterConfigOp.OpType.SET);
                return null;
            });
            Node node = admin.describeCluster().nodes().get(WAIT, TimeUnit.SECONDS).iterator().next();
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node.idString());
            Driver.expect(admin.describeConfigs(List.of(broker)).all().get(WAIT, TimeUnit.SECONDS).get(broker).entries().size() > 3, "broker configs");
            return "";
        }
    }

    private static ConfigEntry entry(Admin admin, ConfigResource resource, String name) {
        try {
            return admin.describeConfigs(List.of(resource)).all().get(WAIT, TimeUnit.SECONDS).get(resource).get(name);
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }

    private static void alter(Admin admin, ConfigResource resource, String name, String value, AlterConfigOp.OpType how) throws Exception {
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(name, value), how);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get(WAIT, TimeUnit.SECONDS);
    }

    static String offsets(Driver.Args args) throws Exception {
        TopicPartition partition = new TopicPartition(args.topic(), 0);
        try (Producer<byte[], byte[]> producer = ProducerChecks.producer(args.client())) {
            for (int n = 0; n < 10; n++)
                producer.send(new ProducerRecord<>(args.topic(), 0, 1_000_000L + (n == 4 ? 500 : n), null, ("" + n).getBytes(UTF_8))).get(WAIT, TimeUnit.SECONDS);
        }
        try (Admin admin = admin(args)) {
            Driver.same(0L, at(admin, partition, OffsetSpec.earliest()).offset(), "earliest");
            Driver.same(10L, at(admin, partition, OffsetSpec.latest()).offset(), "latest");
            Driver.same(4L, at(admin, partition, OffsetSpec.maxTimestamp()).offset(), "max timestamp");
            Driver.same(1_000_500L, at(admin, partition, OffsetSpec.maxTimestamp()).timestamp(), "max timestamp's time");
            Driver.same(3L, at(admin, partition, OffsetSpec.forTimestamp(1_000_003L)).offset(), "by time");
            Driver.same(4L, admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(partition).get(WAIT, TimeUnit.SECONDS).lowWatermark(), "low watermark");
            Driver.same(4L, at(admin, partition, OffsetSpec.earliest()).offset(), "earliest after deletion");
            Driver.fails(OffsetOutOfRangeException.class, () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(50))).all().get(WAIT, TimeUnit.SECONDS));
        }
        List<String> left = new ArrayList<>();
        ProducerChecks.everything(args, partition, 6).forEach(record -> left.add(ProducerChecks.value(record.value())));
        Driver.same(List.of("4", "5", "6", "7", "8", "9"), left, "records left");
        return "";
    }

    private static ListOffsetsResultInfo at(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get(WAIT, TimeUnit.SECONDS);
    }

    static String groups(Driver.Args args) throws Exception {
        String group = args.text("group");
        TopicPartition partition = new TopicPartition(args.topic(), 0);
        TopicPartition other = new TopicPartition(args.topic(), 1);
        try (Admin admin = admin(args)) {
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3), other, new OffsetAndMetadata(5, "note"))).all().get(WAIT, TimeUnit.SECONDS);
            Map<TopicPartition, OffsetAndMetadata> offsets = committed(admin, group);
            Driver.same(3L, offsets.get(partition).offset(), "offset");
            Driver.same("note", offsets.get(other).metadata(), "metadata");
            Set<String> listed = new TreeSet<>();
            for (GroupListing one : admin.listGroups().all().get(WAIT, TimeUnit.SECONDS)) listed.add(one.groupId());
            Driver.expect(listed.contains(group), "listed: " + listed);
            Driver.same("Empty", admin.describeConsumerGroups(List.of(group)).all().get(WAIT, TimeUnit.SECONDS).get(group).groupState().toString(), "state");
            try (KafkaConsumer<String, String> member = ConsumerChecks.consumer(args.client("group.id", group, "group.protocol", "classic"))) {
                member.subscribe(List.of(args.topic()));
                Driver.until("the member has partitions", java.time.Duration.ofSeconds(20), () -> {
                    member.poll(java.time.Duration.ofMillis(50));
                    return !member.assignment().isEmpty();
                });
                Driver.fails(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get(WAIT, TimeUnit.SECONDS));
                Driver.fails(GroupSubscribedToTopicException.class, () -> admin.deleteConsumerGroupOffsets(group, Set.of(partition)).partitionResult(partition).get(WAIT, TimeUnit.SECONDS));
            }
            Driver.until("the group is empty", java.time.Duration.ofSeconds(15), () -> {
                try {
                    return admin.describeConsumerGroups(List.of(group)).all().get(WAIT, TimeUnit.SECONDS).get(group).groupState().toString().equals("Empty");
                } catch (Exception e) {
                    return false;
                }
            });
            admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get(WAIT, TimeUnit.SECONDS);
            Driver.same(null, committed(admin, group).get(partition), "deleted offset");
            Driver.expect(committed(admin, group).containsKey(other), "the other offset stays");
            admin.deleteConsumerGroups(List.of(group)).all().get(WAIT, TimeUnit.SECONDS);
            Driver.same(Map.of(), committed(admin, group), "offsets of a deleted group");
            Driver.fails(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get(WAIT, TimeUnit.SECONDS));
            Driver.fails(GroupIdNotFoundException.class, () -> admin.describeConsumerGroups(List.of(group)).all().get(WAIT, TimeUnit.SECONDS));
        }
        return "";
    }

    private static Map<TopicPartition, OffsetAndMetadata> committed(Admin admin, String group) throws Exception {
        return admin.listConsumerGroupOffsets(Map.of(group, new ListConsumerGroupOffsetsSpec())).partitionsToOffsetAndMetadata(group).get(WAIT, TimeUnit.SECONDS);
    }
}
