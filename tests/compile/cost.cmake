# cmake -DCOMPILER=... -DSTANDARD=17 -DINCLUDES="folder..." -DINCLUDE=<folder that holds fuller/> -DWORK=<folder> -P cost.cmake
#
# What fuller.hpp adds to what the compiler reads of torch/types.h, in bytes after the preprocessor: time to compile follows it, and
# this is the same on every machine. bench/compile_time has the seconds.
cmake_minimum_required(VERSION 3.22)
separate_arguments(INCLUDES)
set(folders "-I${INCLUDE}")
foreach(folder IN LISTS INCLUDES)
  list(APPEND folders -isystem "${folder}")
endforeach()
file(MAKE_DIRECTORY "${WORK}")

function(bytes_of out content)
  file(WRITE "${WORK}/cost.cpp" "${content}")
  execute_process(COMMAND "${COMPILER}" "-std=c++${STANDARD}" -E -P ${ARGN} ${folders} "${WORK}/cost.cpp" -o "${WORK}/cost.i" RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "the compiler refuses: ${content}")
  endif()
  file(SIZE "${WORK}/cost.i" size)
  set(${out} "${size}" PARENT_SCOPE)
endfunction()

bytes_of(alone "#include <torch/types.h>\n")
bytes_of(declared "#include <torch/types.h>\n#include <fuller/fuller.hpp>\n" -DFULLER_SEPARATE_MEMBERS)
bytes_of(whole "#include <torch/types.h>\n#include <fuller/fuller.hpp>\n")
math(EXPR declared "1000 * ${declared} / ${alone} - 1000")
math(EXPR whole "1000 * ${whole} / ${alone} - 1000")
message(STATUS "beyond torch/types.h (${alone} bytes): ${declared} thousandths with members apart, ${whole} without")
if(declared LESS 1 OR declared GREATER 45)
  message(FATAL_ERROR "fuller.hpp with FULLER_SEPARATE_MEMBERS adds ${declared} thousandths to torch/types.h; at most 45 are meant: what only bodies need belongs into a *_members.hpp")
endif()
if(whole LESS_EQUAL declared OR whole GREATER 350)
  message(FATAL_ERROR "fuller.hpp adds ${whole} thousandths to torch/types.h; at most 350 are meant: what few users need belongs into a header of its own")
endif()
