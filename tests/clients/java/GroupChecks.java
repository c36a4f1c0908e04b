import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Classic groups with the Java consumer: members that come and go under every assignor, and static members that return. */
public class GroupChecks {
    /** One member, polled by a thread of its own until it is closed. */
    private static final class Member implements ConsumerRebalanceListener, AutoCloseable {
        final KafkaConsumer<String, String> consumer;
        final Thread thread;
        final AtomicBoolean stop = new AtomicBoolean();
        final Map<String, Integer> seen = new ConcurrentHashMap<>();
        volatile Set<TopicPartition> owned = Set.of();
        volatile int generation = -1;
        volatile String memberId = "";
        volatile Throwable broken;
        volatile int largestRevocation;

        Member(Driver.Args args, String assignor, String instance, int sessionMs) {
            Properties properties = args.client("group.id", args.text("group"), "group.protocol", "classic", "auto.offset.reset", "earliest",
                "enable.auto.commit", "false", "partition.assignment.strategy", assignor, "session.timeout.ms", "" + sessionMs,
                "heartbeat.interval.ms", "100", "fetch.max.wait.ms", "50", "max.poll.records", "50");
            if (instance != null) properties.put("group.instance.id", instance);
            consumer = ConsumerChecks.consumer(properties);
            consumer.subscribe(List.of(args.topic()), this);
            thread = new Thread(this::run, "member");
            thread.start();
        }

        private void run() {
            try (consumer) {
                while (!stop.get()) {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) seen.merge(record.value(), 1, Integer::sum);
                    consumer.commitAsync();
                }
                consumer.commitSync();
            } catch (Throwable e) {
                broken = e;
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> added) {
            // Before what it owns: who sees a new assignment sees the generation it came with.
            generation = consumer.groupMetadata().generationId();
            memberId = consumer.groupMetadata().memberId();
            Set<TopicPartition> now = new HashSet<>(owned);
            now.addAll(added);
            owned = now;
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> gone) {
            largestRevocation = Math.max(largestRevocation, gone.size());
            consumer.commitSync(); // what was handed out must not be handed out again
            onPartitionsLost(gone);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> gone) {
            Set<TopicPartition> now = new HashSet<>(owned);
            now.removeAll(gone);
            owned = now;
        }

        @Override
        public void close() throws InterruptedException {
            stop.set(true);
            thread.join(20_000);
            Driver.expect(!thread.isAlive(), "a member did not close within 20 s");
            if (broken != null) throw new RuntimeException("a member broke", broken);
        }
    }

    private static void settled(String what, int all, Member... members) {
        Driver.until(what, Duration.ofSeconds(30), () -> {
            Set<TopicPartition> union = new HashSet<>();
            int sum = 0;
            int least = all;
            for (Member member : members) {
                if (member.broken != null) throw new RuntimeException("a member broke", member.broken);
                union.addAll(member.owned);
                sum += member.owned.size();
                least = Math.min(least, member.owned.size());
            }
            sleepBriefly();
            return union.size() == all && sum == all && least >= all / members.length;
        });
    }

    private static void sleepBriefly() {
        try {
            Thread.sleep(5); // between looks at a condition with a deadline
        } catch (InterruptedException e) {
            throw new RuntimeException(e);
        }
    }

    /** A member comes and goes: all partitions are owned once, every record is handed out once, cooperative members keep what they keep. */
    static String rebalance(Driver.Args args) throws Exception {
        String assignor = args.text("assignor");
        int partitions = 4;
        Member first = new Member(args, assignor, null, 6000);
        settled("the first member owns all", partitions, first);
        send(args, 0, 200);
        Member second = new Member(args, assignor, null, 6000);
        settled("two members share", partitions, first, second);
        boolean cooperative = assignor.contains("Cooperative");
        if (cooperative) Driver.same(partitions / 2, first.largestRevocation, "partitions that a cooperative member gave up at once");
        else Driver.same(partitions, first.largestRevocation, "partitions that an eager member gave up at once");
        try (Admin admin = Admin.create(args.client())) {
            ConsumerGroupDescription group = admin.describeConsumerGroups(List.of(args.text("group"))).all().get(10, TimeUnit.SECONDS).get(args.text("group"));
            Driver.same("Stable", group.groupState().toString(), "state");
            Driver.same(2, group.members().size(), "members");
            Driver.expect(assignor.toLowerCase().contains(group.partitionAssignor().replace("-", "")), "assignor " + group.partitionAssignor());
            Driver.same(Set.of(first.memberId, second.memberId),
                Set.of(group.members().stream().map(m -> m.consumerId()).toArray(String[]::new)), "member ids");
        }
        send(args, 200, 200);
        second.close();
        settled("the first member owns all again", partitions, first);
        send(args, 400, 200);
        Driver.until("all 600 records read", Duration.ofSeconds(20), () -> {
            sleepBriefly();
            return union(first, second).size() == 600 || first.broken != null;
        });
        first.close();
        List<String> twice = new ArrayList<>();
        for (String value : union(first, second))
            if (first.seen.getOrDefault(value, 0) + second.seen.getOrDefault(value, 0) != 1) twice.add(value);
        Driver.same(List.of(), twice, "records handed out more than once although each hand-over was committed");
        return first.seen.size() + " and " + second.seen.size();
    }

    private static Set<String> union(Member first, Member second) {
        Set<String> all = new TreeSet<>(first.seen.keySet());
        all.addAll(second.seen.keySet());
        return all;
    }

    private static void send(Driver.Args args, int from, int count) {
        try (Producer<byte[], byte[]> producer = ProducerChecks.producer(args.client())) {
            for (int n = from; n < from + count; n++)
                producer.send(new ProducerRecord<>(args.topic(), n % 4, null, Integer.toString(n).getBytes(UTF_8)));
        }
    }

    /** A static member that goes without leaving and returns under its instance id: no rebalance, the same partitions. */
    static String staticMember(Driver.Args args) throws Exception {
        String assignor = args.text("assignor");
        Member first = new Member(args, assignor, "one", 20_000);
        Member second = new Member(args, assignor, "two", 20_000);
        settled("two static members share", 4, first, second);
        Driver.until("both know the same generation", Duration.ofSeconds(20), () -> {
            sleepBriefly();
            return first.generation == second.generation && first.generation > 0;
        });
        int generation = first.generation;
        Set<TopicPartition> had = second.owned;
        String oldId = second.memberId;
        second.close();
        Member again = new Member(args, assignor, "two", 20_000);
        Driver.until("the static member has its partitions again", Duration.ofSeconds(20), () -> {
            sleepBriefly();
            return again.owned.equals(had);
        });
        Driver.until("it knows its generation", Duration.ofSeconds(20), () -> {
            sleepBriefly();
            return again.generation > 0;
        });
        Driver.same(generation, again.generation, "generation after the return");
        Driver.same(generation, first.generation, "generation of the other");
        Driver.expect(!oldId.equals(again.memberId), "the member id changed");
        try (Admin admin = Admin.create(args.client())) {
            ConsumerGroupDescription group = admin.describeConsumerGroups(List.of(args.text("group"))).all().get(10, TimeUnit.SECONDS).get(args.text("group"));
            Set<String> instances = new TreeSet<>();
            group.members().forEach(member -> instances.add(member.groupInstanceId().orElse("none")));
            Driver.same(Set.of("one", "two"), instances, "instances");
            again.close();
            first.close();
            admin.removeMembersFromConsumerGroup(args.text("group"), new org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions())
                .all().get(10, TimeUnit.SECONDS);
            group = admin.describeConsumerGroups(List.of(args.text("group"))).all().get(10, TimeUnit.SECONDS).get(args.text("group"));
            Driver.same(0, group.members().size(), "members after their removal");
            Driver.same("Empty", group.groupState().toString(), "state after their removal");
        }
        return "";
    }
}
