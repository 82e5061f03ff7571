package org.tensorflow.lite;

import java.nio.ByteBuffer;

/** TensorFlow Lite's, as far as the manual's lines call it. */
public class Interpreter {
    public Interpreter(ByteBuffer model) {}

    public void run(Object input, Object output) {}
}
