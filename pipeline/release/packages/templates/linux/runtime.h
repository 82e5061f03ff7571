// What run.cpp needs of a runtime: one input in, the first output out. runtime.cpp has it.
#pragma once

#include <memory>
#include <string>

#include "array.h"

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual Array run(const Array& input) = 0;
};

// Loads a model file on the CPU. Throws std::exception.
std::unique_ptr<Runtime> load(const std::string& path);
