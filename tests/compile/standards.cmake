# cmake -DCOMPILER=<c++> -DSTANDARD=<14|17|...> -DINCLUDES=<folder;folder> -DSOURCE=<file> [-DSAYS=<regex>] -P standards.cmake
#
# Compiles a file without making an object. Without SAYS it must compile, with this project's warnings as errors. With SAYS every
# error must match, and there must be one.
separate_arguments(INCLUDES)
set(flags "-std=c++${STANDARD}" -fsyntax-only)
foreach(folder IN LISTS INCLUDES)
  list(APPEND flags -isystem "${folder}")
endforeach()
if(NOT SAYS)
  list(APPEND flags -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
endif()
execute_process(COMMAND "${COMPILER}" ${flags} -I "${INCLUDE}" "${SOURCE}" RESULT_VARIABLE status ERROR_VARIABLE text)
if(NOT SAYS)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${COMPILER} -std=c++${STANDARD}:\n${text}")
  endif()
  return()
endif()
string(REGEX MATCHALL "error: [^\n]*" errors "${text}")
list(LENGTH errors count)
if(status EQUAL 0 OR NOT count EQUAL 1 OR NOT errors MATCHES "${SAYS}" OR text MATCHES "warning: ")
  message(FATAL_ERROR "expected one error with '${SAYS}', got ${count}:\n${text}")
endif()
