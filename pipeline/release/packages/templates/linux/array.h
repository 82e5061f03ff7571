// An array as .npy files hold it (numpy.lib.format, versions 1 to 3): little-endian, in C order.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

struct Array {
  std::string dtype;  // as numpy calls it: "float32", "int8", ...
  std::vector<int64_t> shape;
  std::vector<unsigned char> bytes;
};

inline size_t item_size(const std::string& dtype) {
  static const std::map<std::string, size_t> sizes{{"float32", 4}, {"float64", 8}, {"int8", 1},  {"uint8", 1},
                                                   {"int16", 2},   {"int32", 4},   {"int64", 8}, {"bool", 1}};
  const auto found = sizes.find(dtype);
  if (found == sizes.end()) throw std::runtime_error("this example knows no " + dtype);
  return found->second;
}

inline size_t count(const std::vector<int64_t>& shape) {
  size_t product = 1;
  for (const int64_t size : shape) product *= static_cast<size_t>(size);
  return product;
}

inline std::vector<unsigned char> read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error(path + ": it can't be read");
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline Array read_npy(const std::string& path) {
  static const std::map<std::string, std::string> names{{"<f4", "float32"}, {"<f8", "float64"}, {"|i1", "int8"},
                                                        {"|u1", "uint8"},   {"<i2", "int16"},   {"<i4", "int32"},
                                                        {"<i8", "int64"},   {"|b1", "bool"}};
  const auto data = read_file(path);
  const auto refuse = [&path](const std::string& why) { return std::runtime_error(path + ": " + why); };
  if (data.size() < 12 || std::memcmp(data.data(), "\x93NUMPY", 6) != 0) throw refuse("it is no .npy file");
  const bool wide = data[6] > 1;  // version 1 has two bytes for the header's length, later ones four
  size_t start = wide ? 12 : 10, length = data[8] | data[9] << 8;
  if (wide) length |= static_cast<size_t>(data[10]) << 16 | static_cast<size_t>(data[11]) << 24;
  if (data.size() < start + length) throw refuse("it is cut short");
  const std::string header(data.begin() + start, data.begin() + start + length);
  start += length;

  Array found;
  try {
    const auto after = [&header](const std::string& key) {
      return header.find_first_not_of(' ', header.find("'" + key + "':") + key.size() + 3);
    };
    found.dtype = names.at(header.substr(after("descr") + 1, 3));
    if (header.compare(after("fortran_order"), 5, "False") != 0) throw refuse("it is in Fortran order");
    for (size_t place = after("shape") + 1; header.at(place) != ')';) {
      size_t used = 0;
      found.shape.push_back(std::stoll(header.substr(place), &used));
      place = header.find_first_not_of(", ", place + used);
    }
  } catch (const std::logic_error&) {  // of at, substr, compare and stoll
    throw refuse("its header isn't known here");
  }
  const size_t size = count(found.shape) * item_size(found.dtype);
  if (data.size() != start + size) throw refuse("it is cut short, or too long");
  found.bytes.assign(data.begin() + start, data.end());
  return found;
}

template <typename T>
double item(const Array& array, size_t place) {
  T value;
  std::memcpy(&value, array.bytes.data() + place * sizeof(T), sizeof(T));
  return static_cast<double>(value);
}

inline std::vector<double> numbers(const Array& array) {
  static const std::map<std::string, double (*)(const Array&, size_t)> readers{
      {"float32", item<float>},  {"float64", item<double>}, {"int8", item<int8_t>},   {"uint8", item<uint8_t>},
      {"int16", item<int16_t>},  {"int32", item<int32_t>},  {"int64", item<int64_t>}, {"bool", item<bool>}};
  const auto read = readers.find(array.dtype);
  if (read == readers.end()) throw std::runtime_error("this example knows no " + array.dtype);
  std::vector<double> found(count(array.shape));
  for (size_t place = 0; place < found.size(); ++place) found[place] = read->second(array, place);
  return found;
}
