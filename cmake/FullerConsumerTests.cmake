# Builds tests/consumer, a project of its own, the ways a user would: against an installed fuller and against its sources, with
# LibTorch and without.
include_guard(GLOBAL)

#   fuller_add_consumer_test(name PACKAGE|SOURCES TORCH|CORE CXX_STANDARD n [OPTIONS option...])
function(fuller_add_consumer_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PACKAGE;SOURCES;TORCH;CORE" "CXX_STANDARD" "OPTIONS")
  set(options "-DCMAKE_CXX_STANDARD=${arg_CXX_STANDARD}" "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}"
      "-DFULLER_WITH_CUDA=${FULLER_WITH_CUDA}" ${arg_OPTIONS})
  if(arg_PACKAGE)
    list(APPEND options "-DCMAKE_PREFIX_PATH=${PROJECT_BINARY_DIR}/prefix")
  else()
    list(APPEND options "-DCONSUMER_FULLER=${PROJECT_SOURCE_DIR}")
  endif()
  if(arg_CORE)
    list(APPEND options -DCONSUMER_TORCH=OFF)
  elseif(FULLER_TORCH_ORIGIN)
    list(APPEND options "-DFULLER_TORCH_ROOT=${FULLER_TORCH_ORIGIN}")
  endif()
  if(FULLER_CCACHE)
    list(APPEND options "-DCMAKE_CXX_COMPILER_LAUNCHER=${FULLER_CCACHE}")
  endif()
  add_test(NAME consumer_${name}
    COMMAND "${CMAKE_CTEST_COMMAND}" --build-and-test "${PROJECT_SOURCE_DIR}/tests/consumer" "${PROJECT_BINARY_DIR}/consumer/${name}"
            --build-generator "${CMAKE_GENERATOR}" --build-noclean --build-options ${options}
            --test-command "${CMAKE_CTEST_COMMAND}" --output-on-failure)
  set_tests_properties(consumer_${name} PROPERTIES LABELS consumer TIMEOUT 900 COST 30)
  if(arg_PACKAGE)
    set_tests_properties(consumer_${name} PROPERTIES FIXTURES_REQUIRED "${installed}")
  endif()
endfunction()

# Named for this build: ctest knows a fixture and what sets it up by name alone, and .ci/run has one ctest over several builds.
get_filename_component(build "${PROJECT_BINARY_DIR}" NAME)
set(installed "install_package_of_${build}")
add_test(NAME "${installed}" COMMAND "${CMAKE_COMMAND}" --install "${PROJECT_BINARY_DIR}" --prefix "${PROJECT_BINARY_DIR}/prefix")
set_tests_properties("${installed}" PROPERTIES LABELS consumer FIXTURES_SETUP "${installed}")
fuller_add_consumer_test(package_core PACKAGE CORE CXX_STANDARD 20)
fuller_add_consumer_test(sources_core SOURCES CORE CXX_STANDARD 17)
fuller_add_consumer_test(fetched_core SOURCES CORE CXX_STANDARD 17 OPTIONS -DCONSUMER_FETCHES=ON)
if(FULLER_TORCH_FOUND)
  fuller_add_consumer_test(package_torch PACKAGE TORCH CXX_STANDARD ${FULLER_TORCH_CXX_STANDARD})
  fuller_add_consumer_test(sources_torch SOURCES TORCH CXX_STANDARD 20)
  if(FULLER_TORCH_ORIGIN STREQUAL "/usr")
    fuller_add_consumer_test(after_find_package SOURCES TORCH CXX_STANDARD 17 OPTIONS -DCONSUMER_FINDS_TORCH=ON)
  endif()
endif()
