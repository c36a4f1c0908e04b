import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;

/**
 * Runs the checks of *Checks.java with the Java clients, one after the other in one JVM that outlives the server's restarts.
 *
 * A line on standard input: "Class.check key=value ..." with each value in base64. The answer: "ok" or "failed" and a text in
 * base64: what the check returned, or why it failed. The clients' log goes to standard error.
 */
public class Driver {
    /** What a check was called with. Keys that start with "p." are properties for every client the check makes. */
    static final class Args {
        private final Map<String, String> values = new HashMap<>();

        String text(String key) {
            return Objects.requireNonNull(values.get(key), "argument " + key);
        }

        String text(String key, String otherwise) {
            return values.getOrDefault(key, otherwise);
        }

        int number(String key, int otherwise) {
            return values.containsKey(key) ? Integer.parseInt(values.get(key)) : otherwise;
        }

        boolean is(String key) {
            return values.getOrDefault(key, "false").equals("true");
        }

        String topic() {
            return text("topic");
        }

        Properties client(Object... more) {
            Properties properties = new Properties();
            properties.put("bootstrap.servers", text("bootstrap"));
            properties.put("reconnect.backoff.ms", "20");
            properties.put("reconnect.backoff.max.ms", "200");
            for (int n = 0; n < more.length; n += 2) properties.put(more[n], more[n + 1]);
            values.forEach((key, value) -> {
                if (key.startsWith("p.")) properties.put(key.substring(2), value);
            });
            return properties;
        }
    }

    static final class Failed extends RuntimeException {
        Failed(String message) {
            super(message);
        }
    }

    static void expect(boolean holds, String what) {
        if (!holds) throw new Failed(what);
    }

    static void same(Object want, Object got, String what) {
        if (!Objects.equals(want, got)) throw new Failed(what + ": expected " + want + ", got " + got);
    }

    /** The call must fail with this exception (or have it as cause); returns its message. */
    static String fails(Class<? extends Throwable> with, Callable<?> call) {
        Object got;
        try {
            got = call.call();
        } catch (Throwable e) {
            Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
            if (with.isInstance(cause)) return String.valueOf(cause.getMessage());
            throw new Failed("expected " + with.getSimpleName() + ", got " + cause);
        }
        throw new Failed("expected " + with.getSimpleName() + ", got the answer " + got);
    }

    static void until(String what, Duration limit, BooleanSupplier holds) {
        long end = System.nanoTime() + limit.toNanos();
        while (!holds.getAsBoolean()) if (System.nanoTime() > end) throw new Failed("within " + limit.toSeconds() + " s: " + what);
    }

    public static void main(String[] unused) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.trim().split(" +");
            Args args = new Args();
            for (int n = 1; n < words.length; n++) {
                int equals = words[n].indexOf('=');
                args.values.put(words[n].substring(0, equals),
                    new String(Base64.getDecoder().decode(words[n].substring(equals + 1)), StandardCharsets.UTF_8));
            }
            String verdict = "ok";
            String text;
            try {
                String[] name = words[0].split("\\.");
                Method method = Class.forName(name[0]).getDeclaredMethod(name[1], Args.class);
                text = String.valueOf(method.invoke(null, args));
            } catch (InvocationTargetException e) {
                verdict = "failed";
                text = e.getCause() instanceof Failed ? e.getCause().getMessage() : trace(e.getCause());
            } catch (ReflectiveOperationException e) {
                verdict = "failed";
                text = trace(e);
            }
            answers.println(verdict + " " + Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8)));
            answers.flush();
        }
    }

    private static String trace(Throwable e) {
        StringWriter text = new StringWriter();
        e.printStackTrace(new PrintWriter(text));
        return text.toString();
    }
}
