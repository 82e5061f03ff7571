// The model in TensorFlow Lite (LiteRT), by its C API: tensorflow/lite/c/c_api.h and libtensorflowlite_c, stable ABI.
#include <tensorflow/lite/c/c_api.h>

#include <map>

#include "runtime.h"

namespace {

const std::map<TfLiteType, std::string> kTypes{
    {kTfLiteFloat32, "float32"}, {kTfLiteFloat64, "float64"}, {kTfLiteInt8, "int8"},   {kTfLiteUInt8, "uint8"},
    {kTfLiteInt16, "int16"},     {kTfLiteInt32, "int32"},     {kTfLiteInt64, "int64"}, {kTfLiteBool, "bool"}};

void need(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("TensorFlow Lite could not ") + what);
}

Array described(const TfLiteTensor* tensor) {
  const auto type = kTypes.find(TfLiteTensorType(tensor));
  if (type == kTypes.end()) throw std::runtime_error("the model has a kind of numbers that this example doesn't know");
  Array found{type->second, {}, std::vector<unsigned char>(TfLiteTensorByteSize(tensor))};
  for (int32_t axis = 0; axis < TfLiteTensorNumDims(tensor); ++axis)
    found.shape.push_back(TfLiteTensorDim(tensor, axis));
  return found;
}

class Interpreter : public Runtime {
 public:
  explicit Interpreter(const std::string& path) : model_(TfLiteModelCreateFromFile(path.c_str()), TfLiteModelDelete) {
    need(model_ != nullptr, "read the model file");
    interpreter_.reset(TfLiteInterpreterCreate(model_.get(), nullptr));
    need(interpreter_ != nullptr, "make an interpreter: is an operator missing in this build?");
    need(TfLiteInterpreterAllocateTensors(interpreter_.get()) == kTfLiteOk, "get memory for the tensors");
  }

  Array run(const Array& input) override {
    TfLiteTensor* given = TfLiteInterpreterGetInputTensor(interpreter_.get(), 0);
    need(TfLiteTensorCopyFromBuffer(given, input.bytes.data(), input.bytes.size()) == kTfLiteOk, "take the input");
    need(TfLiteInterpreterInvoke(interpreter_.get()) == kTfLiteOk, "run the model");
    const TfLiteTensor* answer = TfLiteInterpreterGetOutputTensor(interpreter_.get(), 0);
    Array found = described(answer);
    need(TfLiteTensorCopyToBuffer(answer, found.bytes.data(), found.bytes.size()) == kTfLiteOk, "give the output");
    return found;
  }

 private:
  std::unique_ptr<TfLiteModel, decltype(&TfLiteModelDelete)> model_;
  std::unique_ptr<TfLiteInterpreter, decltype(&TfLiteInterpreterDelete)> interpreter_{nullptr, TfLiteInterpreterDelete};
};

}  // namespace

std::unique_ptr<Runtime> load(const std::string& path) { return std::make_unique<Interpreter>(path); }
