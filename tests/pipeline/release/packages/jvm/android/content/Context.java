package android.content;

import android.content.res.AssetManager;

/** Android's, as far as the manual's lines call it. */
public abstract class Context {
    public abstract AssetManager getAssets();
}
