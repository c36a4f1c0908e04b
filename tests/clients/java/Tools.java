import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools one after the other in one JVM: starting a JVM for each would be most of the tests' time.
 * Each is entered by its own main(), with its own arguments, input and outputs; its exit is caught and its shutdown hooks are
 * run, through the one class by which all of Kafka's tools leave.
 *
 * A line on standard input: the main class, then standard input and each argument in base64 ("-" for empty), separated by blanks.
 * The answer: exit code, standard output, standard error, the latter two in base64.
 */
public class Tools {
    private static final class Left extends Error {
        final int code;

        Left(int code, String message) {
            super(message, null, false, false);
            this.code = code;
        }
    }

    private static Integer left;

    public static void main(String[] unused) throws Exception {
        PrintStream answers = System.out;
        PrintStream log = System.err;
        Exit.Procedure leave = (code, message) -> {
            if (left == null) left = code; // a tool may catch what it is thrown and leave again
            throw new Left(left, message);
        };
        Exit.setExitProcedure(leave);
        Exit.setHaltProcedure(leave);
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.trim().split(" +");
            List<String> arguments = new ArrayList<>();
            for (int n = 2; n < words.length; n++) arguments.add(new String(decoded(words[n]), StandardCharsets.UTF_8));
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            InputStream oldIn = System.in;
            left = null;
            System.setIn(new ByteArrayInputStream(decoded(words[1])));
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            int code = 0;
            try {
                Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) arguments.toArray(new String[0]));
            } catch (InvocationTargetException e) {
                if (!(e.getCause() instanceof Left)) {
                    e.getCause().printStackTrace(System.err);
                    code = 1;
                }
            } catch (ReflectiveOperationException e) {
                e.printStackTrace(System.err);
                code = 127;
            } finally {
                hooks.forEach(Runnable::run); // the console producer sends its last batch in one
                hooks.clear();
                System.setIn(oldIn);
                System.setOut(answers);
                System.setErr(log);
            }
            if (left != null) code = left;
            answers.println(code + " " + encoded(out) + " " + encoded(err));
            answers.flush();
        }
    }

    private static byte[] decoded(String word) {
        return word.equals("-") ? new byte[0] : Base64.getDecoder().decode(word);
    }

    private static String encoded(ByteArrayOutputStream bytes) {
        return bytes.size() == 0 ? "-" : Base64.getEncoder().encodeToString(bytes.toByteArray());
    }
}
