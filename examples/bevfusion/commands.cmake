# The commands that look at finished runs. Reports are made of logs alone, and need no LibTorch.
add_library(bevfusion_report STATIC
  report/comparison.cpp
  report/detail_tables.cpp
  report/outcome.cpp
  report/provenance_tables.cpp
  report/report_page.cpp
  report/report_plots.cpp
  report/report_tables.cpp
  report/run_details.cpp
  report/run_record.cpp
  report/styled_table.cpp)
fuller_program(bevfusion_report)
target_compile_features(bevfusion_report PUBLIC cxx_std_17)
target_include_directories(bevfusion_report PUBLIC "${PROJECT_SOURCE_DIR}/examples")
target_link_libraries(bevfusion_report PUBLIC nlohmann_json::nlohmann_json)

target_sources(bevfusion PRIVATE
  commands/eval_command.cpp
  commands/finished_run.cpp
  commands/predict_command.cpp
  commands/report_command.cpp)
target_link_libraries(bevfusion PRIVATE bevfusion_report)

if(FULLER_BUILD_TESTS)
  fuller_add_test(bevfusion_report_test SOURCES "${PROJECT_SOURCE_DIR}/tests/bevfusion/report_test.cpp"
                          "${PROJECT_SOURCE_DIR}/tests/bevfusion/report_outcome_test.cpp"
                  LABELS bevfusion unit LIBRARIES bevfusion_report)
  target_compile_definitions(bevfusion_report_test PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endif()
