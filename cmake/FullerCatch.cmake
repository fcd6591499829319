# The target fuller_catch: Catch2, header (2.13) or library (3), from .deps/, from the system.
include_guard(GLOBAL)

add_library(fuller_catch INTERFACE)
if(EXISTS "${PROJECT_SOURCE_DIR}/.deps/include/catch2/catch.hpp")
  target_include_directories(fuller_catch SYSTEM INTERFACE "${PROJECT_SOURCE_DIR}/.deps/include")
  set(FULLER_CATCH_FROM "${PROJECT_SOURCE_DIR}/.deps")
else()
  find_package(Catch2 QUIET)
  if(NOT TARGET Catch2::Catch2)
    message(FATAL_ERROR "fuller: the tests need Catch2 (2.13 or 3). On Debian: apt-get install catch2. "
                        "Or fill .deps/ (docs/building.md), or configure with -DFULLER_BUILD_TESTS=OFF.")
  endif()
  target_link_libraries(fuller_catch INTERFACE Catch2::Catch2)
  set(FULLER_CATCH_FROM "${Catch2_DIR}")
endif()
target_compile_features(fuller_catch INTERFACE cxx_std_17)
message(STATUS "fuller: Catch2 from ${FULLER_CATCH_FROM}")
