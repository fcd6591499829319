// SPDX-License-Identifier: Apache-2.0
// A library with what fuller takes from NVIDIA's driver, for tests without a device: one device of compute capability 9.0, one
// stream. Host functions are called at once; kernels are not run, their launches are written down.

#include <cstring>
#include <string>
#include <vector>

namespace {

struct Launched {
  std::string kernel;
  unsigned blocks;
  unsigned threads;
  const void* first_argument;
};

constexpr int invalid_handle = 400;
constexpr int not_found = 500;
std::string module;                   // what was loaded
std::vector<std::string*> functions;  // kept for the life of the process, as a driver keeps them
Launched last;

}  // namespace

extern "C" {

int cuLaunchHostFunc(void* stream, void (*function)(void*), void* argument) {
  if (stream != nullptr) {
    return invalid_handle;
  }
  function(argument);
  return 0;
}

int cuInit(unsigned /*flags*/) { return 0; }
int cuCtxGetDevice(int* device) {
  *device = 0;
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int /*device*/) {
  *value = attribute == 75 ? 9 : 0;  // 75, 76: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
  return 0;
}

/// An ELF file says its own length: its section headers are at the end.
int cuModuleLoadData(void** loaded, const void* image) {
  const char* const bytes = static_cast<const char*>(image);
  unsigned long long sections = 0;
  unsigned short size = 0;
  unsigned short count = 0;
  std::memcpy(&sections, bytes + 0x28, sizeof sections);
  std::memcpy(&size, bytes + 0x3A, sizeof size);
  std::memcpy(&count, bytes + 0x3C, sizeof count);
  module.assign(bytes, sections + static_cast<unsigned long long>(size) * count);
  *loaded = &module;
  return 0;
}
int cuModuleGetFunction(void** function, void* /*module*/, const char* name) {
  if (module.find(std::string(".text.") + name + '\0') == std::string::npos) {
    return not_found;
  }
  functions.push_back(new std::string(name));
  *function = functions.back();
  return 0;
}
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y, unsigned threads_z,
                   unsigned /*shared*/, void* stream, void** arguments, void** /*extra*/) {
  if (stream != nullptr || y != 1 || z != 1 || threads_y != 1 || threads_z != 1) {
    return invalid_handle;
  }
  last = {*static_cast<std::string*>(function), x, threads, arguments[0]};
  return 0;
}

const char* fake_kernel() { return last.kernel.c_str(); }
unsigned fake_blocks() { return last.blocks; }
unsigned fake_threads() { return last.threads; }
const void* fake_first_argument() { return last.first_argument; }
}
