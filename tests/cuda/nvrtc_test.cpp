// SPDX-License-Identifier: Apache-2.0
// The kernels as NVRTC compiles them, without a device: every kernel is in the machine code of three architectures, and every
// request launches one that is there, by a library that stands for the driver's. Where there is no NVRTC, the program ends with
// the status that CTest reports as "Skipped".
//
//   cuda_nvrtc FAKE_DRIVER

#include <dlfcn.h>

#include <torch/torch.h>

#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <fuller/engine/device_calibrator.hpp>
#include <fuller/engine/device_gate.hpp>
#include <fuller/engine/nvrtc.hpp>

namespace {

using at::Tensor;

int failures = 0;

void expect(bool right, const std::string& what) {
  if (!right) {
    std::cout << "wrong: " << what << '\n';
    ++failures;
  }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string thrown_by(const std::function<void()>& f) {
  try {
    f();
  } catch (const fuller::Error& error) {
    return error.what();
  }
  return "";
}

void check_architecture(const fuller::detail::Library& nvrtc, const std::string& folder, int architecture) {
  const fuller::detail::CompiledKernels compiled = fuller::detail::compile_kernels(nvrtc, folder, architecture);
  const std::string code(compiled.code.begin(), compiled.code.end());
  // Gram matrices of 2, 3, 4 and more tasks; for each of 4 types 2 kinds of norms, a sum and a scaling; 2 calls.
  expect(compiled.names.size() == 4 + 4 * 4 + 2, "the number of kernels");
  for (const auto& [name, lowered] : compiled.names) {
    expect(contains(code, ".text." + lowered + '\0'), name + " is not in the code for sm_" + std::to_string(architecture));
  }
  std::cout << "sm_" << architecture << ": " << compiled.names.size() << " kernels, " << compiled.code.size() << " bytes\n";
}

/// What the fake driver was last asked to launch.
class FakeDriver {
 public:
  explicit FakeDriver(const char* path) : library_(dlopen(path, RTLD_NOW)) {}

  void expect_launch(const std::string& kernel, const std::string& argument, unsigned threads) const {
    const std::string found = call<const char*>("fake_kernel");
    expect(contains(found, kernel) && contains(found, argument), kernel + "<" + argument + "> was not launched, but " + found);
    expect(call<unsigned>("fake_threads") == threads && call<unsigned>("fake_blocks") >= 1, "the grid of " + kernel);
  }

 private:
  template <class T>
  T call(const char* name) const {
    return reinterpret_cast<T (*)()>(dlsym(library_, name))();
  }

  void* library_;
};

/// Each kernel there is, by the request that takes it.
void check_launches(const fuller::KernelSource& kernels, const FakeDriver& driver) {
  const struct {
    at::ScalarType type;
    const char* mangled;
  } types[] = {{at::kFloat, "f"}, {at::kDouble, "d"}, {at::kHalf, "4Half"}, {at::kBFloat16, "8BFloat16"}};
  const struct {
    int tasks;
    const char* mangled;
  } counts[] = {{1, "ManyTasks"}, {2, "FewTasksILi2E"}, {3, "FewTasksILi3E"}, {4, "FewTasksILi4E"}, {9, "ManyTasks"}};
  for (const auto& [tasks, mangled] : counts) {
    fuller::DeviceCalibrator calibrator(fuller::PCGrad(), tasks, at::kCPU);
    std::vector<std::vector<Tensor>> gradients(static_cast<std::size_t>(tasks), std::vector<Tensor>{torch::ones({5})});
    calibrator.weigh(kernels(), gradients);
    driver.expect_launch("gram_kernel", mangled, 256);
  }
  fuller::DeviceCalibrator uniform(fuller::Uniform(), 2, at::kCPU);
  uniform.weigh_unmeasured(kernels(), 3);
  driver.expect_launch("call_kernel", "RuleCall", 32);
  fuller::DeviceGate gate(fuller::ModalityGate(), 2, at::kCPU);
  gate.open(kernels(), torch::ones({2}, at::kDouble), {1, 1}, {1, 1});
  driver.expect_launch("call_kernel", "GateCall", 32);
  for (const auto& [type, mangled] : types) {
    const std::string suffix = std::string(mangled) + "E";
    const Tensor x = torch::ones({4, 6}).to(type);
    fuller::DeviceGate three(fuller::ModalityGate(), 3, at::kCPU);
    gate.weigh(kernels(), x, {2, 4});
    driver.expect_launch("norm_kernel", "SliceNormsILi2E", 256);
    three.weigh(kernels(), x, {1, 1, 4});
    driver.expect_launch("norm_kernel", "SliceNormsILi8E", 256);
    driver.expect_launch("norm_kernel", suffix, 256);
    fuller::weighted_sum(kernels(), {x, x}, uniform.shared_weights());
    driver.expect_launch("sum_kernel", suffix, 256);
    fuller::scale_in_place(kernels(), x, uniform.shared_weights().data_ptr<double>());
    driver.expect_launch("scale_kernel", suffix, 256);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    return 2;
  }
  fuller::NvrtcOptions options;
  options.libraries.push_back("/usr/local/cuda/lib64/libnvrtc.so");
  options.driver = arguments[1];
  fuller::NvrtcOptions without = options;
  without.libraries = {"libno_such_compiler.so"};
  expect(contains(thrown_by([&] { fuller::kernels_by_nvrtc(at::kCPU, without); }), "libno_such_compiler.so"), "no NVRTC");
  const std::string missing = thrown_by([&] { fuller::detail::Library(options.libraries, "NVRTC"); });
  if (!missing.empty()) {
    std::cout << "skipped: " << missing << '\n';
    return failures == 0 ? 77 : 1;
  }
  without = options;
  without.driver = "libno_such_driver.so";
  expect(contains(thrown_by([&] { fuller::kernels_by_nvrtc(at::kCPU, without); }), "libno_such_driver.so"), "no driver");

  const fuller::detail::Library nvrtc(options.libraries, "NVRTC");
  const std::string said = thrown_by([&] { fuller::detail::compile_kernels(nvrtc, "no_such_folder", 90); });
  expect(contains(said, "fuller/cuda/kernels.cuh"), "no headers: " + said);
  for (const int architecture : {75, 80}) {
    check_architecture(nvrtc, options.include_folder, architecture);
  }
  check_launches(fuller::kernels_by_nvrtc(at::kCPU, options), FakeDriver(arguments[1]));  // sm_90
  std::cout << (failures == 0 ? "kernels compiled at run time are right\n" : "kernels compiled at run time are wrong\n");
  return failures == 0 ? 0 : 1;
}
