package android.content.res;

import java.io.Closeable;
import java.io.FileInputStream;
import java.io.IOException;

/** What the wrapper calls of Android's class, to compile against where no Android SDK is. Never shipped. */
public class AssetFileDescriptor implements Closeable {
    private AssetFileDescriptor() {}

    public FileInputStream createInputStream() throws IOException {
        throw new UnsupportedOperationException("Stub!");
    }

    public long getStartOffset() {
        throw new UnsupportedOperationException("Stub!");
    }

    public long getDeclaredLength() {
        throw new UnsupportedOperationException("Stub!");
    }

    @Override
    public void close() throws IOException {
        throw new UnsupportedOperationException("Stub!");
    }
}
