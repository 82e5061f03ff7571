package android.content.res;

import java.io.IOException;

/** What the wrapper calls of Android's class, to compile against where no Android SDK is. Never shipped. */
public final class AssetManager {
    private AssetManager() {}

    public AssetFileDescriptor openFd(String name) throws IOException {
        throw new UnsupportedOperationException("Stub!");
    }
}
