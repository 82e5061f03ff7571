package android.content.res;

import java.io.Closeable;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;

/** Android's, for an asset that lies four bytes into its file and ends four bytes before its end, as one in an APK does. */
public class AssetFileDescriptor implements Closeable {
    private final File file;

    AssetFileDescriptor(File file) {
        this.file = file;
    }

    public FileInputStream createInputStream() throws IOException {
        return new FileInputStream(file);
    }

    public long getStartOffset() {
        return 4;
    }

    public long getDeclaredLength() {
        return file.length() - 8;
    }

    @Override
    public void close() throws IOException {}
}
