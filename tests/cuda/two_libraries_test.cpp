// SPDX-License-Identifier: Apache-2.0
// Two shared libraries of one process, each with the kernels linked: two_libraries first.so second.so. Symbols are shared as far
// as they are visible at all; each library must see its own kernels, and this program none.

#include <dlfcn.h>

#include <iostream>

#include <fuller/cuda/kernel_table.hpp>

namespace {

const void* kernels_of(const char* path) {
  void* const library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::cout << dlerror() << '\n';
    return nullptr;
  }
  using Ask = const void* (*)();
  const auto ask = reinterpret_cast<Ask>(dlsym(library, "kernels_of_this_library"));
  return ask == nullptr ? nullptr : ask();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    return 2;
  }
  const void* const first = kernels_of(arguments[1]);
  const void* const second = kernels_of(arguments[2]);
  const bool right = first != nullptr && second != nullptr && first != second && fuller::cuda::linked_kernels() == nullptr;
  std::cout << (right ? "each library has its own kernels\n" : "the libraries do not have kernels of their own\n");
  return right ? 0 : 1;
}
