# fuller_add_cuda_kernels(target): adds fuller's CUDA kernels to a program or shared library, as one compiled unit. Plain .cpp files
# of the target then find them. The project must have enabled the language CUDA; architectures are those of
# CMAKE_CUDA_ARCHITECTURES. Each library that calls this has kernels of its own, whatever else is in the process.
include_guard(DIRECTORY)

function(fuller_add_cuda_kernels target)
  get_target_property(type ${target} TYPE)
  if(NOT type MATCHES "^(EXECUTABLE|SHARED_LIBRARY|MODULE_LIBRARY)$")
    message(FATAL_ERROR "fuller_add_cuda_kernels(${target}): it is a ${type}, from which a linker drops what nothing names; add the "
                        "kernels to the program or shared library that is made of it")
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "fuller_add_cuda_kernels(${target}): call enable_language(CUDA) before")
  endif()
  find_package(CUDAToolkit REQUIRED)
  if(NOT TARGET fuller_cuda_kernels)
    add_library(fuller_cuda_kernels OBJECT "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/fuller_kernels.cu")
    target_link_libraries(fuller_cuda_kernels PRIVATE fuller::core)
    target_compile_features(fuller_cuda_kernels PRIVATE cuda_std_17)
    set_target_properties(fuller_cuda_kernels PROPERTIES
      CUDA_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_compile_options(fuller_cuda_kernels PRIVATE
      "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=cross-execution-space-call,all-warnings;-Xcompiler=-Wall,-Wextra;--threads=2>")
  endif()
  target_sources(${target} PRIVATE "$<TARGET_OBJECTS:fuller_cuda_kernels>")
  target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(${target} PRIVATE FULLER_CUDA_KERNELS)
endfunction()
