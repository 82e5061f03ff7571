import android.content.res.AssetManager;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;

/** Calls one method of a wrapper: CLASS open|bytes|floats|ints|top GIVEN MADE, files both. */
public final class Run {
    public static void main(String[] arguments) throws Exception {
        Class<?> wrapper = Class.forName(arguments[0]);
        Path given = Paths.get(arguments[2]), made = Paths.get(arguments[3]);
        if (arguments[1].equals("open")) {
            AssetManager assets = new AssetManager(given.toFile());
            write(made, (ByteBuffer) wrapper.getMethod("open", AssetManager.class).invoke(null, assets));
            return;
        }
        byte[] bytes = Files.readAllBytes(given);
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
        if (arguments[1].equals("top")) {
            ByteBuffer output = (ByteBuffer) wrapper.getMethod("newOutput").invoke(null);
            output.put(bytes);
            List<?> top = (List<?>) wrapper.getMethod("top", ByteBuffer.class, int.class).invoke(null, output, 3);
            StringBuilder lines = new StringBuilder();
            for (Object one : top) {
                lines.append(one).append('\n');
            }
            Files.write(made, lines.toString().getBytes(StandardCharsets.UTF_8));
            return;
        }
        Object values = bytes;
        if (arguments[1].equals("floats")) {
            float[] floats = new float[bytes.length / 4];
            in.asFloatBuffer().get(floats);
            values = floats;
        } else if (arguments[1].equals("ints")) {
            int[] ints = new int[bytes.length / 4];
            in.asIntBuffer().get(ints);
            values = ints;
        }
        try {
            write(made, (ByteBuffer) wrapper.getMethod("preprocess", values.getClass()).invoke(null, values));
        } catch (InvocationTargetException refused) {
            System.err.println(refused.getCause().getMessage());
            System.exit(1);
        }
    }

    private static void write(Path path, ByteBuffer buffer) throws Exception {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(path, bytes);
    }
}
