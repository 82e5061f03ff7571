// The model in ONNX Runtime, by its C++ API (onnxruntime_cxx_api.h over the C API, whose ABI is stable).
#include <onnxruntime_cxx_api.h>

#include <map>

#include "model.h"
#include "runtime.h"

namespace {

const std::map<std::string, ONNXTensorElementDataType> kTypes{
    {"float32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT}, {"float64", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {"int8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},     {"uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {"int16", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},   {"int32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {"int64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},   {"bool", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL}};

std::string name_of(ONNXTensorElementDataType type) {
  for (const auto& [name, known] : kTypes)
    if (known == type) return name;
  throw std::runtime_error("the model gives a kind of numbers that this example doesn't know");
}

class Session : public Runtime {
 public:
  explicit Session(const std::string& path) : session_(env_, path.c_str(), Ort::SessionOptions()) {}

  Array run(const Array& input) override {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    // The session reads the input and leaves it as it is; the API has no const for that.
    void* bytes = const_cast<unsigned char*>(input.bytes.data());
    const Ort::Value given = Ort::Value::CreateTensor(memory, bytes, input.bytes.size(), input.shape.data(),
                                                      input.shape.size(), kTypes.at(input.dtype));
    const char* inputs[] = {model::kInputName};
    const char* outputs[] = {model::kOutputName};
    const auto answers = session_.Run(Ort::RunOptions(), inputs, &given, 1, outputs, 1);
    const auto info = answers.at(0).GetTensorTypeAndShapeInfo();
    Array found{name_of(info.GetElementType()), info.GetShape(), {}};
    const auto* start = static_cast<const unsigned char*>(answers.at(0).GetTensorRawData());
    found.bytes.assign(start, start + info.GetElementCount() * item_size(found.dtype));
    return found;
  }

 private:
  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR, "run"};
  Ort::Session session_;
};

}  // namespace

std::unique_ptr<Runtime> load(const std::string& path) { return std::make_unique<Session>(path); }
