# Tests of configs, and of the program's commands that need no data set.
if(FULLER_BUILD_TESTS AND FULLER_TORCH_FOUND)
  fuller_add_test(bevfusion_config SOURCES "${PROJECT_SOURCE_DIR}/tests/bevfusion/config_test.cpp" TORCH LABELS bevfusion unit
                  LIBRARIES bevfusion_program)
  target_compile_definitions(bevfusion_config PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endif()
