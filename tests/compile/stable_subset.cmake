# cmake -DCOMPILER=<c++> -DSTANDARD=<17|20> -DINCLUDE=<folder that holds fuller/> -DMACRO=<macro> -P stable_subset.cmake
#
# Every header that includes LibTorch, entered by itself with the macro of LibTorch's stable subset defined: the first error is ours.
file(GLOB_RECURSE headers RELATIVE "${INCLUDE}" "${INCLUDE}/fuller/*.hpp")
set(count 0)
foreach(header IN LISTS headers)
  file(STRINGS "${INCLUDE}/${header}" torch REGEX "^#include <(ATen|c10|torch)/")
  if(NOT torch)
    continue()
  endif()
  # Neither LibTorch's folders nor anything else is needed: the error comes before.
  execute_process(COMMAND "${COMPILER}" "-std=c++${STANDARD}" -fsyntax-only -Wfatal-errors "-D${MACRO}=0x020a000000000000" -I "${INCLUDE}"
                          -x c++ "${INCLUDE}/${header}" RESULT_VARIABLE status ERROR_VARIABLE text)
  if(status EQUAL 0 OR NOT text MATCHES "stable_subset.hpp:[0-9:]+ (fatal )?error: [^\n]*without TORCH_TARGET_VERSION and TORCH_STABLE_ONLY")
    message(FATAL_ERROR "${header} with ${MACRO}: another error comes first:\n${text}")
  endif()
  math(EXPR count "${count} + 1")
endforeach()
if(count LESS 40)
  message(FATAL_ERROR "only ${count} headers that include LibTorch were found in ${INCLUDE}")
endif()
message(STATUS "${count} headers say so first")
