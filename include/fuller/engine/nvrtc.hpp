// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <cxxabi.h>
#include <dlfcn.h>

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/cuda/kernel_table.hpp>
#include <fuller/cuda/launch.hpp>
#include <fuller/engine/host_function.hpp>
#include <fuller/engine/kernels.hpp>
#include <fuller/engine/steps.hpp>

// The kernels without a CUDA compiler: NVRTC, NVIDIA's library for compiling at run time, makes them from fuller/cuda's headers.
// Neither it nor the driver is linked or included; both are looked for when the kernels are asked for.

namespace fuller {
inline namespace v0_1 {

struct NvrtcOptions {
  /// The folder that holds fuller/cuda/kernels.cuh. By default that of this header when the program was compiled.
  std::string include_folder = std::string(__FILE__).substr(0, std::string(__FILE__).rfind("fuller/engine/nvrtc.hpp"));
  /// Libraries to try, by name or path.
  std::vector<std::string> libraries{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  std::string driver = "libcuda.so.1";
};

namespace detail {

/// What the kernels' headers name of the standard library, as much of it as they use: NVRTC has no standard headers.
inline constexpr const char* nvrtc_prelude = R"(
namespace std {
using size_t = decltype(sizeof 0);
using uintptr_t = unsigned long;
using int32_t = int;
using int64_t = long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long;
using ::exp; using ::fabs; using ::fma; using ::log; using ::memcpy; using ::pow; using ::sqrt;
template <class T> struct numeric_limits;
template <> struct numeric_limits<double> {
  static constexpr double max() { return 0x1.fffffffffffffp1023; }
  static constexpr double quiet_NaN() { return __builtin_bit_cast(double, 0x7ff8000000000000UL); }
};
template <bool b> struct bool_constant { static constexpr bool value = b; };
using true_type = bool_constant<true>;
using false_type = bool_constant<false>;
template <class...> using void_t = void;
template <class T> T&& declval();
template <class A, class B> inline constexpr bool is_same_v = false;
template <class A> inline constexpr bool is_same_v<A, A> = true;
template <class T> struct vector {  // options are made on the host
  template <class List> vector(List);
  size_t size() const;
  const T* begin() const;
  const T* end() const;
  const T& operator[](size_t) const;
};
}
namespace fuller { inline namespace v0_1 { namespace detail {
template <class... Parts> [[noreturn]] void fail(const Parts&...) { while (true) __trap(); }
} } }
#include <fuller/cuda/kernels.cuh>
)";

/// Functions of a shared library, by name.
class Library {
 public:
  /// @throws DeviceError where none of these is there
  Library(const std::vector<std::string>& names, const char* what) {
    std::string said;
    for (const std::string& name : names) {
      handle_ = handle_ != nullptr ? handle_ : dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
      const char* const error = handle_ != nullptr ? nullptr : dlerror();
      said += error == nullptr ? "" : std::string("; ") + error;
    }
    if (handle_ == nullptr) {
      fail_on_device("kernels compiled at run time need ", what, said);
    }
  }

  /// Calls a function that returns 0 where it went well.
  /// @throws DeviceError where there is none of this name, or it returns another number
  template <class... Arguments>
  int operator()(const char* name, Arguments... arguments) const {
    void* const found = dlsym(handle_, name);
    if (found == nullptr) {
      fail_on_device(name, " is missing from a library of NVIDIA's; it is too old");
    }
    return reinterpret_cast<int (*)(Arguments...)>(found)(arguments...);
  }

  template <class... Arguments>
  void expect(const char* name, Arguments... arguments) const {
    const int status = (*this)(name, arguments...);
    if (status != 0) {
      fail_on_device(name, " ended with status ", status);
    }
  }

 private:
  void* handle_ = nullptr;
};

/// A type as C++ writes it.
template <class T>
std::string type_name() {
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(typeid(T).name(), nullptr, nullptr, nullptr),
                                                         &std::free);
  return name.get();
}

/// A kernel template of kernels.cuh with its argument, which belongs to it alone.
template <class Argument>
const std::string& kernel_name(const char* kernel) {
  static const std::string name = std::string("fuller::cuda::detail::") + kernel + "<" + type_name<Argument>() + ">";
  return name;
}

template <class... Elements>
std::vector<std::string> kernel_names(Elements*... /*types*/) {
  namespace kernels = cuda::detail;
  std::vector<std::string> names{
      kernel_name<kernels::FewTasks<2>>("gram_kernel"), kernel_name<kernels::FewTasks<3>>("gram_kernel"),
      kernel_name<kernels::FewTasks<4>>("gram_kernel"), kernel_name<kernels::ManyTasks>("gram_kernel"),
      kernel_name<cuda::RuleCall>("call_kernel"),       kernel_name<cuda::GateCall>("call_kernel")};
  const auto add = [&](const std::string& name) { names.push_back(name); };
  (add(kernel_name<kernels::SliceNorms<2, Elements>>("norm_kernel")), ...);
  (add(kernel_name<kernels::SliceNorms<8, Elements>>("norm_kernel")), ...);
  (add(kernel_name<kernels::WeightedSum<Elements>>("sum_kernel")), ...);
  (add(kernel_name<kernels::SliceScales<Elements>>("scale_kernel")), ...);
  return names;
}

/// All kernels that requests launch.
inline std::vector<std::string> kernel_names() {
  return kernel_names<float, double, cuda::Half, cuda::BFloat16>(nullptr, nullptr, nullptr, nullptr);
}

/// Source that refuses headers in which one of these types is not as large as in this program: those of another version.
template <class... Types>
std::string expect_sizes() {
  return (("static_assert(sizeof(" + type_name<Types>() + ") == " + std::to_string(sizeof(Types)) +
           ", \"the headers are not those that the program was compiled with\");\n") +
          ...);
}
/// What kernels are given, and what they find in device memory.
template <class... Rules, class... Laws>
std::string expect_sizes(cuda::RuleList<Rules...> /*rules*/, cuda::GateList<Laws...> /*laws*/) {
  namespace kernels = cuda::detail;
  return expect_sizes<kernels::GramArguments, kernels::NormArguments, kernels::SumArguments, kernels::ScaleArguments,
                      cuda::RuleCall, cuda::GateCall, Weighting<Rules>..., Laws...>();
}

/// Machine code, and what each kernel is called in it.
struct CompiledKernels {
  std::vector<char> code;
  std::unordered_map<std::string, std::string> names;
};

/// Compiles all kernels for an architecture, such as 90 for sm_90: half a minute. Needs no device.
/// @throws DeviceError with NVRTC's message where it does not compile
inline CompiledKernels compile_kernels(const Library& nvrtc, const std::string& include_folder, int architecture) {
  // Headers that the prelude stands for; a folder's own would come after them.
  const std::vector<const char*> replaced{"cmath",       "cstdint", "cstring", "initializer_list", "limits",
                                          "type_traits", "utility", "vector",  "cuda_runtime.h",   "fuller/core/error.hpp"};
  const std::vector<const char*> empty(replaced.size(), "");
  const std::string source = nvrtc_prelude + expect_sizes(cuda::KnownRules(), cuda::KnownGates());
  void* program = nullptr;
  nvrtc.expect("nvrtcCreateProgram", &program, source.c_str(), "fuller_kernels.cu", static_cast<int>(replaced.size()),
               empty.data(), replaced.data());
  const auto destroy = [&](void** one) { nvrtc("nvrtcDestroyProgram", one); };
  const std::unique_ptr<void*, decltype(destroy)> owner(&program, destroy);
  const std::vector<std::string> names = kernel_names();
  for (const std::string& name : names) {
    nvrtc.expect("nvrtcAddNameExpression", program, name.c_str());
  }
  const std::string target = "--gpu-architecture=sm_" + std::to_string(architecture);
  const std::string folder = "--include-path=" + (include_folder.empty() ? "." : include_folder);
  const char* const options[] = {target.c_str(), folder.c_str(), "--std=c++17", "--device-as-default-execution-space"};
  if (nvrtc("nvrtcCompileProgram", program, 4, &options[0]) != 0) {
    std::size_t length = 0;
    nvrtc.expect("nvrtcGetProgramLogSize", program, &length);
    std::string log(length, ' ');
    nvrtc.expect("nvrtcGetProgramLog", program, log.data());
    fail_on_device("NVRTC did not compile the kernels of ", include_folder, " for sm_", architecture, ": ", log);
  }
  CompiledKernels compiled;
  std::size_t size = 0;
  nvrtc.expect("nvrtcGetCUBINSize", program, &size);
  compiled.code.resize(size);
  nvrtc.expect("nvrtcGetCUBIN", program, compiled.code.data());
  for (const std::string& name : names) {
    const char* lowered = nullptr;
    nvrtc.expect("nvrtcGetLoweredName", program, name.c_str(), &lowered);
    compiled.names.emplace(name, lowered);
  }
  return compiled;
}

/// The kernels of this process: compiled once for each architecture, loaded once for each device.
class RuntimeKernels {
 public:
  explicit RuntimeKernels(const NvrtcOptions& options)
      : nvrtc_(options.libraries,
               "NVRTC (the toolkit's, or the wheel nvidia-cuda-nvrtc's; LD_LIBRARY_PATH or a path leads to it)"),
        driver_({options.driver}, "NVIDIA's driver"),
        include_folder_(options.include_folder) {
    driver_.expect("cuInit", 0U);
  }

  /// @throws Error where the device is not there, or its kernels do not compile.
  const CompiledKernels& compile_for(int device) {
    constexpr int major = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, and _MINOR
    int capability[2] = {};
    driver_.expect("cuDeviceGetAttribute", &capability[0], major, device);
    driver_.expect("cuDeviceGetAttribute", &capability[1], major + 1, device);
    const int architecture = 10 * capability[0] + capability[1];
    const std::lock_guard<std::mutex> guard(lock_);
    const auto known = compiled_.find(architecture);
    return known != compiled_.end()
               ? known->second
               : compiled_.emplace(architecture, compile_kernels(nvrtc_, include_folder_, architecture)).first->second;
  }

  /// Puts a kernel into a stream of the current device.
  bool launch(const std::string& name, unsigned blocks, int threads, std::initializer_list<const void*> arguments, void* stream) {
    int device = 0;
    driver_.expect("cuCtxGetDevice", &device);
    std::vector<void*> pointers;
    for (const void* argument : arguments) {
      pointers.push_back(const_cast<void*>(argument));
    }
    return driver_("cuLaunchKernel", kernels_of(device).at(name), blocks, 1U, 1U, static_cast<unsigned>(threads), 1U, 1U, 0U,
                   stream, pointers.data(), static_cast<void**>(nullptr)) == 0;
  }

 private:
  const std::unordered_map<std::string, void*>& kernels_of(int device) {
    {
      const std::lock_guard<std::mutex> guard(lock_);
      const auto known = loaded_.find(device);
      if (known != loaded_.end()) {
        return known->second;
      }
    }
    const CompiledKernels& compiled = compile_for(device);
    void* module = nullptr;
    driver_.expect("cuModuleLoadData", &module, static_cast<const void*>(compiled.code.data()));
    std::unordered_map<std::string, void*> kernels;
    for (const auto& [name, lowered] : compiled.names) {
      void* kernel = nullptr;
      driver_.expect("cuModuleGetFunction", &kernel, module, lowered.c_str());
      kernels.emplace(name, kernel);
    }
    const std::lock_guard<std::mutex> guard(lock_);
    return loaded_.emplace(device, std::move(kernels)).first->second;
  }

  Library nvrtc_;
  Library driver_;
  std::string include_folder_;
  std::mutex lock_;
  std::map<int, CompiledKernels> compiled_;
  std::map<int, std::unordered_map<std::string, void*>> loaded_;
};

/// Launches what a request asks for, as StreamLauncher does in a compiled unit.
struct RuntimeLauncher {
  RuntimeKernels& kernels;
  void* stream;

  template <class Kernel>
  bool gram(unsigned blocks, const cuda::detail::GramArguments& arguments, const cuda::RuleCall& call) const {
    return launch<Kernel>("gram_kernel", blocks, {&arguments, &call});
  }
  template <class Kernel>
  bool norms(unsigned blocks, const cuda::detail::NormArguments& arguments, const cuda::GateCall& call) const {
    return launch<Kernel>("norm_kernel", blocks, {&arguments, &call});
  }
  template <class Kernel>
  bool sum(unsigned blocks, const cuda::detail::SumArguments& arguments) const {
    return launch<Kernel>("sum_kernel", blocks, {&arguments});
  }
  template <class Kernel>
  bool scale(unsigned blocks, const cuda::detail::ScaleArguments& arguments) const {
    return launch<Kernel>("scale_kernel", blocks, {&arguments});
  }
  template <class Call>
  bool call(const Call& what) const {
    return kernels.launch(kernel_name<Call>("call_kernel"), 1, cuda::detail::warp_threads, {&what}, stream);
  }

 private:
  template <class Kernel>
  bool launch(const char* kernel, unsigned blocks, std::initializer_list<const void*> arguments) const {
    return kernels.launch(kernel_name<Kernel>(kernel), blocks, cuda::detail::block_threads, arguments, stream);
  }
};

/// The kernels that were asked for first; null before.
inline std::unique_ptr<RuntimeKernels>& runtime_kernels() {
  static std::unique_ptr<RuntimeKernels> kernels;
  return kernels;
}

struct AtRunTime {
  template <class Request>
  static cuda::Outcome submit(const Request& request, void* stream) {
    return cuda::submit(request, RuntimeLauncher{*runtime_kernels(), stream});
  }
};

}  // namespace detail

/// Kernels for steps_on() and for custom steps, which this call compiles by NVRTC: for machines without a CUDA compiler.
///
///     calibration.use(fuller::steps_on(at::kCUDA, fuller::kernels_by_nvrtc(at::kCUDA)));
///
/// Takes half a minute, once in a process for each architecture. Kernels are loaded at the first launch on a device, which must
/// not be in a capture. May be called by several threads. With LibTorch before 2.11 they run in the default stream only.
/// @throws DeviceError where NVRTC, the driver, the headers or the device is missing, and with NVRTC's message where it does not
///         compile; Error for other options than those of the first call
inline KernelSource kernels_by_nvrtc(at::Device device, const NvrtcOptions& options = {}) {
  static std::mutex mutex;
  static NvrtcOptions first;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& kernels = detail::runtime_kernels();
  if (!kernels) {
    kernels = std::make_unique<detail::RuntimeKernels>(options);
    first = options;
  } else if (options.include_folder != first.include_folder || options.libraries != first.libraries ||
             options.driver != first.driver) {
    detail::fail("kernels_by_nvrtc() was called with other options before, and a process has one set of kernels compiled at run ",
                 "time; call it with the same options each time");
  }
  const auto stream = [device] {
    const c10::impl::VirtualGuardImpl guard(device.type());
    return guard.getStream(device.has_index() ? device : guard.getDevice());
  };
  kernels->compile_for(std::max<int>(stream().device_index(), 0));
  return [stream, is_cpu = device.is_cpu()] {
    static constexpr cuda::KernelTable table = cuda::KernelTable::by<detail::AtRunTime>();
    return DeviceKernels{&table, is_cpu ? nullptr : detail::handle_of(stream())};
  };
}

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
