// Runs the model beside this file on one input: pre-processing, inference, labels. C++17.
//
//   run INPUT.npy         pixels, uint8 [height, width(, channels)], or what the model file itself takes
//   run IMAGE.pgm|.ppm    a binary PGM or PPM image of the model's size
//   run --check           asks it the sample and compares; exit status 1 where the answer is not the expected one
//   ... --folder DIR      where model and sample lie, else where this was built
//
// model.h says what preprocessing.json does. Wrong use, or a file that can't be used: exit status 2.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <numeric>

#include "array.h"
#include "model.h"
#include "runtime.h"

namespace {

Array read_pnm(const std::string& path) {
  const auto data = read_file(path);
  size_t place = 2;
  const auto number = [&]() {
    while (place < data.size() && (std::isspace(data[place]) || data[place] == '#')) {
      if (data[place] == '#')
        while (place < data.size() && data[place] != '\n') ++place;
      else
        ++place;
    }
    int64_t value = 0;
    for (; place < data.size() && std::isdigit(data[place]) && value < 1 << 20; ++place)
      value = value * 10 + data[place] - '0';
    return value;
  };
  if (data.size() < 2 || data[0] != 'P' || (data[1] != '5' && data[1] != '6'))
    throw std::runtime_error(path + ": it is no binary PGM or PPM");
  const int64_t width = number(), height = number(), most = number();
  Array found{"uint8", {height, width, data[1] == '5' ? 1 : 3}, {}};
  ++place;  // one white space ends the header
  if (most > 255 || place > data.size() || data.size() - place < count(found.shape))
    throw std::runtime_error(path + ": it is cut short, or has more than a byte a value");
  found.bytes.assign(data.begin() + place, data.begin() + place + count(found.shape));
  return found;
}

template <typename T>
void put(Array& array, size_t place, double value) {
  const T item = static_cast<T>(value);
  std::memcpy(array.bytes.data() + place * sizeof(T), &item, sizeof(T));
}

// clip(round(x / scale) + zero_point), halves to even, in float.
float quantised(float x) {
  const float steps = std::nearbyint(x / model::kInputScale) + static_cast<float>(model::kInputZeroPoint);
  const bool is_signed = std::string(model::kInputType) == "int8";
  return std::clamp(steps, is_signed ? -128.0F : 0.0F, is_signed ? 127.0F : 255.0F);
}

// Pixels as the network was trained on them, in the file's layout and kind of numbers.
Array preprocessed(const Array& pixels) {
  const auto values = numbers(pixels);
  const size_t channels = model::kChannels, area = values.size() / channels;
  Array made{model::kInputType, model::kInputShape, {}};
  made.bytes.resize(values.size() * item_size(made.dtype));
  for (size_t at = 0; at < values.size(); ++at) {
    const size_t channel = at % channels, pixel = at / channels;
    float x = static_cast<float>(values[at]);
    for (const model::Step& step : model::kSteps) {
      const float by = step.by[channel % step.by.size()];
      x = step.divides ? x / by : x - by;
    }
    const size_t place = model::kChannelsLast ? at : channel * area + pixel;
    if (model::kInputScale == 0)
      put<float>(made, place, x);
    else if (made.dtype == "int8")
      put<int8_t>(made, place, quantised(x));
    else
      put<uint8_t>(made, place, quantised(x));
  }
  return made;
}

// Token numbers, with padding behind them.
Array padded(const Array& tokens) {
  Array made{model::kInputType, model::kInputShape, {}};
  auto values = numbers(tokens);
  values.resize(count(made.shape), model::kPadding);
  made.bytes.resize(values.size() * item_size(made.dtype));
  for (size_t at = 0; at < values.size(); ++at)
    if (made.dtype == "int64")
      put<int64_t>(made, at, values[at]);
    else
      put<int32_t>(made, at, values[at]);
  return made;
}

Array prepared(const std::string& path) {
  const std::string end = path.size() < 4 ? "" : path.substr(path.size() - 4);
  Array given = end == ".npy" ? read_npy(path) : read_pnm(path);
  const size_t wanted = count(model::kInputShape), found = count(given.shape);
  if (given.dtype == model::kInputType && found == wanted) {
    given.shape = model::kInputShape;
    return given;
  }
  if (model::kTokens && (given.dtype == "int64" || given.dtype == "int32") && found < wanted) return padded(given);
  const bool plain = model::kInputScale != 0 || std::string(model::kInputType) == "float32";
  if (model::kImage && plain && given.dtype == "uint8" && found == wanted) return preprocessed(given);
  throw std::runtime_error(path + ": it has " + std::to_string(found) + " values of " + given.dtype +
                           "; the model takes " + std::to_string(wanted) + " of " + model::kInputType);
}

// The output as floats, and the places of the classes, the likeliest first.
std::vector<double> scored(const Array& output, std::vector<size_t>& best) {
  auto scores = numbers(output);
  if (model::kOutputScale != 0)
    for (double& score : scores) score = (score - model::kOutputZeroPoint) * model::kOutputScale;
  best.resize(scores.size());
  std::iota(best.begin(), best.end(), 0);
  if (model::kClassifies)
    std::stable_sort(best.begin(), best.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  if (model::kClassifies && !scores.empty()) {
    const double most = *std::max_element(scores.begin(), scores.end());
    for (double& score : scores) score = std::exp(score - most);
    const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
    for (double& score : scores) score /= sum;
  }
  return scores;
}

std::vector<std::string> read_labels(const std::string& folder) {
  std::vector<std::string> found;
  std::ifstream stream(folder + "/labels.txt");
  for (std::string line; std::getline(stream, line);) found.push_back(line);
  return found;
}

int check(Runtime& runtime, const std::string& folder) {
  const Array expected = read_npy(folder + "/sample/expected.npy");
  const Array found = runtime.run(read_npy(folder + "/sample/input.npy"));
  double worst = INFINITY;
  std::vector<size_t> here, there;
  scored(found, here);
  scored(expected, there);
  if (found.dtype == expected.dtype && found.shape == expected.shape) {
    const auto a = numbers(found), b = numbers(expected);
    worst = 0;
    for (size_t at = 0; at < a.size(); ++at)
      // Not std::max: a NaN is no answer, and it would be lost there.
      if (const double difference = std::abs(a[at] - b[at]); !(difference <= worst)) worst = difference;
  }
  const bool same = worst <= model::kTolerance && !here.empty() && here[0] == there[0];
  std::printf("%s: %s, worst difference %.3g (tolerance %.3g)\n", model::kName, same ? "as expected" : "NOT as expected",
              worst, model::kTolerance);
  return same ? 0 : 1;
}

int run(int argc, char** argv) {
  std::string folder = MODEL_FOLDER, input;
  bool checking = false;
  for (int at = 1; at < argc; ++at) {
    const std::string argument = argv[at];
    if (argument == "--folder" && at + 1 < argc) {
      folder = argv[++at];
    } else if (argument == "--check") {
      checking = true;
    } else if (input.empty() && argument[0] != '-') {
      input = argument;
    } else {
      throw std::runtime_error("usage: run INPUT.npy|IMAGE.pgm|IMAGE.ppm [--folder DIR], or run --check");
    }
  }
  if (checking != input.empty()) throw std::runtime_error("name one input, or --check alone");
  const Array given = checking ? Array() : prepared(input);
  const auto runtime = load(folder + "/" + model::kFile);
  if (checking) return check(*runtime, folder);
  std::vector<size_t> best;
  const auto scores = scored(runtime->run(given), best);
  const auto labels = read_labels(folder);
  for (size_t at = 0; at < best.size() && (at < 3 || !model::kClassifies); ++at)
    std::printf("%8.4f  %s\n", scores[best[at]],
                best[at] < labels.size() ? labels[best[at]].c_str() : std::to_string(best[at]).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "run: " << error.what() << '\n';
    return 2;
  }
}
