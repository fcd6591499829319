# Tests of configs, and of the program's command that needs neither data set nor LibTorch.
if(NOT FULLER_BUILD_TESTS)
  return()
endif()
# A second run of the tests finds what the first one wrote, and synth refuses to write over a data set.
add_test(NAME bevfusion_synth_command
         COMMAND sh -c "rm -rf \"$1\" && exec \"$0\" synth --tiny --scenes 1 --samples 1 --out \"$1\"" "$<TARGET_FILE:bevfusion>"
                 "${CMAKE_CURRENT_BINARY_DIR}/synth_command")
set_tests_properties(bevfusion_synth_command PROPERTIES LABELS "bevfusion;integration" PASS_REGULAR_EXPRESSION "1 scenes, 1 samples, ")
# The help names the commands of a first run, and what --resume promises.
add_test(NAME bevfusion_help COMMAND bevfusion --help)
set_tests_properties(bevfusion_help PROPERTIES LABELS "bevfusion;unit" PASS_REGULAR_EXPRESSION "bevfusion predict --run run --pictures 8")
if(FULLER_TORCH_FOUND)
  add_test(NAME bevfusion_train_help COMMAND bevfusion train --help)
  set_tests_properties(bevfusion_train_help PROPERTIES LABELS "bevfusion;unit" PASS_REGULAR_EXPRESSION "with --resume ends with the same weights")
  fuller_add_test(bevfusion_config SOURCES "${PROJECT_SOURCE_DIR}/tests/bevfusion/config_test.cpp"
                          "${PROJECT_SOURCE_DIR}/tests/bevfusion/config_meaning_test.cpp" TORCH LABELS bevfusion unit
                  LIBRARIES bevfusion_program)
  target_compile_definitions(bevfusion_config PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endif()
