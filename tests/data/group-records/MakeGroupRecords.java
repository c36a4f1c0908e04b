// Prints the records of __consumer_offsets as Kafka writes them, for src/broker/group/record.rs to be held against:
//   java -cp 'KAFKA/libs/*' MakeGroupRecords.java > records.txt     (made with Kafka 4.4.0)
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.coordinator.group.generated.GroupMetadataKey;
import org.apache.kafka.coordinator.group.generated.GroupMetadataValue;
import org.apache.kafka.coordinator.group.generated.OffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;

public class MakeGroupRecords {
    static void print(String name, int prefix, ApiMessage message, int version) {
        ByteBuffer bytes = MessageUtil.toVersionPrefixedByteBuffer((short) version, message);
        bytes.putShort(0, (short) prefix);
        StringBuilder hex = new StringBuilder();
        while (bytes.hasRemaining()) hex.append(String.format("%02x", bytes.get()));
        System.out.println(name + " = " + hex);
    }

    public static void main(String[] args) {
        Uuid id = new Uuid(0x0102030405060708L, 0x090a0b0c0d0e0f10L);
        byte[] subscription = {0, 1, 0, 0, 0, 1, 0, 6, 'o', 'r', 'd', 'e', 'r', 's', 0, 0, 0, 0};
        print("offset key", 1, new OffsetCommitKey().setGroup("g1").setTopic("orders").setPartition(3), 0);
        for (int v = 0; v <= 4; v++) {
            print("offset value " + v, v, new OffsetCommitValue().setOffset(42).setLeaderEpoch(7).setMetadata("m")
                .setCommitTimestamp(1000).setExpireTimestamp(v == 1 ? 2000 : -1)
                .setTopicId(v >= 4 ? id : Uuid.ZERO_UUID), v);
        }
        print("group key", 2, new GroupMetadataKey().setGroup("g1"), 0);
        for (int v = 0; v <= 4; v++) {
            print("group value " + v, v, new GroupMetadataValue().setProtocolType("consumer").setGeneration(5)
                .setProtocol("range").setLeader("m-1").setCurrentStateTimestamp(1000)
                .setMembers(List.of(new GroupMetadataValue.MemberMetadata().setMemberId("m-1")
                    .setGroupInstanceId(v >= 3 ? "i1" : null).setClientId("app").setClientHost("/127.0.0.1")
                    .setRebalanceTimeout(v >= 1 ? 60000 : -1).setSessionTimeout(10000)
                    .setSubscription(subscription).setAssignment(new byte[] {9, 8}))), v);
        }
        print("empty group value", 3, new GroupMetadataValue().setProtocolType("").setGeneration(0)
            .setProtocol(null).setLeader(null).setCurrentStateTimestamp(1000).setMembers(List.of()), 3);
    }
}
