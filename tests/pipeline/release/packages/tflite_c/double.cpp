// A double of libtensorflowlite_c: the calls are the C API's, the answers ai-edge-litert's, through answer.py.
//
// TFLITE_ANSWER: the command that answers, to which MODEL, or MODEL INPUT OUTPUT, is added.
#include <tensorflow/lite/c/c_api.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

struct TfLiteModel {
  std::string path;
};

struct TfLiteTensor {
  int type = kTfLiteNoType;
  std::vector<int> shape;
  std::vector<char> bytes;
};

struct TfLiteInterpreter {
  std::string path;
  TfLiteTensor input, output;
};

namespace {

std::string printed(const std::string& command) {
  std::string found;
  FILE* pipe = popen(command.c_str(), "r");
  for (int one; pipe != nullptr && (one = std::fgetc(pipe)) != EOF;) found.push_back(static_cast<char>(one));
  return pipe != nullptr && pclose(pipe) == 0 ? found : "";
}

std::string answer(const TfLiteInterpreter* interpreter, const std::string& files) {
  return printed(std::string(std::getenv("TFLITE_ANSWER")) + " '" + interpreter->path + "'" + files);
}

// A line: type, bytes, axes.
void describe(TfLiteTensor& tensor, std::istream& lines) {
  std::string line;
  std::getline(lines, line);
  std::istringstream words(line);
  size_t bytes = 0;
  words >> tensor.type >> bytes;
  tensor.bytes.resize(bytes);
  tensor.shape.assign(std::istream_iterator<int>(words), {});
}

}  // namespace

TfLiteModel* TfLiteModelCreateFromFile(const char* path) {
  return std::ifstream(path) ? new TfLiteModel{path} : nullptr;
}
void TfLiteModelDelete(TfLiteModel* model) { delete model; }

TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel* model, const TfLiteInterpreterOptions*) {
  return new TfLiteInterpreter{model->path, {}, {}};
}
void TfLiteInterpreterDelete(TfLiteInterpreter* interpreter) { delete interpreter; }

TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter* interpreter) {
  std::istringstream lines(answer(interpreter, ""));
  describe(interpreter->input, lines);
  describe(interpreter->output, lines);
  return interpreter->output.type == kTfLiteNoType ? kTfLiteError : kTfLiteOk;
}

TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter* interpreter) {
  const std::string folder = printed("mktemp -d | tr -d '\\n'"), input = folder + "/in", output = folder + "/out";
  std::ofstream(input, std::ios::binary).write(interpreter->input.bytes.data(), interpreter->input.bytes.size());
  answer(interpreter, " " + input + " " + output);
  auto& bytes = interpreter->output.bytes;
  std::ifstream(output, std::ios::binary).read(bytes.data(), bytes.size());
  const bool whole = std::ifstream(output).good();
  std::system(("rm -r " + folder).c_str());
  return whole ? kTfLiteOk : kTfLiteError;
}

TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter* interpreter, int32_t) {
  return const_cast<TfLiteTensor*>(&interpreter->input);
}
const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter* interpreter, int32_t) {
  return &interpreter->output;
}

TfLiteType TfLiteTensorType(const TfLiteTensor* tensor) { return static_cast<TfLiteType>(tensor->type); }
int32_t TfLiteTensorNumDims(const TfLiteTensor* tensor) { return static_cast<int32_t>(tensor->shape.size()); }
int32_t TfLiteTensorDim(const TfLiteTensor* tensor, int32_t index) { return tensor->shape.at(index); }
size_t TfLiteTensorByteSize(const TfLiteTensor* tensor) { return tensor->bytes.size(); }

TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor* tensor, const void* data, size_t size) {
  if (size != tensor->bytes.size()) return kTfLiteError;
  std::memcpy(tensor->bytes.data(), data, size);
  return kTfLiteOk;
}
TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor* tensor, void* data, size_t size) {
  if (size != tensor->bytes.size()) return kTfLiteError;
  std::memcpy(data, tensor->bytes.data(), size);
  return kTfLiteOk;
}
