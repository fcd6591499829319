# Writes FILE with the commit of FOLDER, followed by "+" where the tree has changes; leaves it alone where it says so already.
cmake_minimum_required(VERSION 3.22)
find_package(Git QUIET)
set(commit "")
if(GIT_FOUND)
  execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${FOLDER}" describe --always --exclude=* --abbrev=10 --dirty=+
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT "${FILE}" CONTENT "#define BEVFUSION_COMMIT \"${commit}\"\n" @ONLY)
