# What ranks of bevfusion send by beside a TCP store, which every LibTorch has: Gloo on the CPU and NCCL on GPUs.

set(switches "")
# LibTorch's packages leave Gloo's headers out; those of Debian's libgloo-dev are of the date of its LibTorch, 1.13.
find_path(FULLER_GLOO_INCLUDE gloo/allreduce.h DOC "Where Gloo's headers are, of the date of LibTorch 1.13")
mark_as_advanced(FULLER_GLOO_INCLUDE)
if(FULLER_GLOO_INCLUDE AND FULLER_TORCH_VERSION VERSION_LESS 2)
  list(APPEND switches BEVFUSION_GLOO)
  if(NOT FULLER_GLOO_INCLUDE IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
    target_include_directories(bevfusion_training SYSTEM PRIVATE "${FULLER_GLOO_INCLUDE}")
  endif()
  set(on_cpu "Gloo on the CPU")
else()
  set(on_cpu "no Gloo, whose headers of LibTorch's date are not here: a TCP store on the CPU")
endif()

# NCCL's headers come with the wheel's nvidia-nccl package; with a toolkit's of another date the program may not link.
set(on_gpu "no NCCL, for this LibTorch has no CUDA")
if(FULLER_TORCH_CUDA)
  file(GLOB wheel_folders "${FULLER_TORCH_ORIGIN}/../nvidia/*/include" "${FULLER_TORCH_ORIGIN}/../nvidia/*/*/include")
  find_path(FULLER_NCCL_INCLUDE nccl.h HINTS ${wheel_folders} DOC "Where NCCL's header is, of the version that LibTorch links")
  find_library(FULLER_NCCL_LIBRARY NAMES libnccl.so.2 nccl HINTS "${FULLER_TORCH_ORIGIN}/../nvidia/nccl/lib" DOC "NCCL, as LibTorch links it")
  mark_as_advanced(FULLER_NCCL_INCLUDE FULLER_NCCL_LIBRARY)
  find_package(CUDAToolkit QUIET)
  if(FULLER_NCCL_INCLUDE AND FULLER_NCCL_LIBRARY AND CUDAToolkit_FOUND)
    list(APPEND switches BEVFUSION_NCCL)
    target_include_directories(bevfusion_training SYSTEM PRIVATE "${FULLER_NCCL_INCLUDE}" ${CUDAToolkit_INCLUDE_DIRS})
    target_link_libraries(bevfusion_training PRIVATE "${FULLER_NCCL_LIBRARY}")
    set(on_gpu "NCCL on GPUs")
  else()
    set(on_gpu "no NCCL: nccl.h, libnccl or a CUDA toolkit is not here, so ranks on GPUs send through the CPU")
  endif()
endif()
message(STATUS "fuller: ranks of bevfusion train send by ${on_cpu}; ${on_gpu}")

# c10d's headers are read with other switches than the rest has.
set_source_files_properties(ranks/run_ranks.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON COMPILE_DEFINITIONS "${switches}")
