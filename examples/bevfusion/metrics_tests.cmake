# From files on disk to the figures of nuScenes' evaluation; what needs no files is tested in tests/CMakeLists.txt.
if(FULLER_BUILD_TESTS)
  fuller_add_test(bevfusion_evaluation SOURCES "${PROJECT_SOURCE_DIR}/tests/integration/bevfusion_evaluation_test.cpp"
                  LABELS bevfusion integration LIBRARIES bevfusion_data nlohmann_json::nlohmann_json)
  target_include_directories(bevfusion_evaluation PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(bevfusion_evaluation PRIVATE
                             BEVFUSION_GOLDEN_FILE="${PROJECT_SOURCE_DIR}/tests/reference/nuscenes_golden.json"
                             FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endif()

if(FULLER_FUZZ)
  add_executable(bevfusion_fuzz_submission "${PROJECT_SOURCE_DIR}/tests/fuzz/submission_fuzz.cpp")
  fuller_program(bevfusion_fuzz_submission)
  target_include_directories(bevfusion_fuzz_submission PRIVATE "${PROJECT_SOURCE_DIR}/examples")
  target_compile_options(bevfusion_fuzz_submission PRIVATE -fsanitize=fuzzer,address,undefined)
  target_link_options(bevfusion_fuzz_submission PRIVATE -fsanitize=fuzzer,address,undefined)
  target_link_libraries(bevfusion_fuzz_submission PRIVATE nlohmann_json::nlohmann_json)
endif()
