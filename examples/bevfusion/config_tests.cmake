# Tests of configs, and of the program's command that needs neither data set nor LibTorch.
if(NOT FULLER_BUILD_TESTS)
  return()
endif()
add_test(NAME bevfusion_synth_command
         COMMAND bevfusion synth --tiny --scenes 1 --samples 1 --out "${CMAKE_CURRENT_BINARY_DIR}/synth_command")
set_tests_properties(bevfusion_synth_command PROPERTIES LABELS "bevfusion;integration" PASS_REGULAR_EXPRESSION "1 scenes, 1 samples, ")
if(FULLER_TORCH_FOUND)
  fuller_add_test(bevfusion_config SOURCES "${PROJECT_SOURCE_DIR}/tests/bevfusion/config_test.cpp" TORCH LABELS bevfusion unit
                  LIBRARIES bevfusion_program)
  target_compile_definitions(bevfusion_config PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endif()
