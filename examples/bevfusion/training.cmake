# Training: losses by task, schedules, checkpoints, logs.
add_library(bevfusion_training STATIC
  training/archive_file.cpp
  training/checkpoint.cpp
  training/event_file.cpp
  training/run_log.cpp
  training/step_record.cpp
  training/task_losses.cpp
  training/tower_trainer.cpp
  training/trainer.cpp
  training/training_data.cpp)
fuller_program(bevfusion_training TORCH)
target_link_libraries(bevfusion_training PUBLIC bevfusion_program bevfusion_evaluation_lib nlohmann_json::nlohmann_json)

if(FULLER_BUILD_TESTS)
  set(tests "${PROJECT_SOURCE_DIR}/tests")
  fuller_add_test(bevfusion_training_parts SOURCES "${tests}/bevfusion/training_parts_test.cpp"
                  "${tests}/bevfusion/checkpoint_file_test.cpp" TORCH LABELS bevfusion unit
                  LIBRARIES bevfusion_training)
  target_compile_definitions(bevfusion_training_parts PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Which samples come how often, and what is pasted into them.
  fuller_add_test(bevfusion_object_paste SOURCES "${tests}/bevfusion/object_paste_test.cpp" TORCH LABELS bevfusion integration
                  LIBRARIES bevfusion_training)
  target_compile_definitions(bevfusion_object_paste PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Fusers of a test's own: what their gates see.
  fuller_add_test(bevfusion_fusers SOURCES "${tests}/bevfusion/fusers_test.cpp" TORCH LABELS bevfusion integration
                  LIBRARIES bevfusion_training)
  # Label sets of a test's own, from files to training and figures.
  fuller_add_test(bevfusion_label_sets SOURCES "${tests}/bevfusion/label_sets_test.cpp" TORCH LABELS bevfusion integration
                  LIBRARIES bevfusion_training)
  target_compile_definitions(bevfusion_label_sets PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # The program as a user has it, where disks are full, folders in use, files damaged, words wrong.
  fuller_add_test(bevfusion_program_test SOURCES "${tests}/bevfusion/program_test.cpp" "${tests}/bevfusion/scarcity_test.cpp" LABELS bevfusion integration
                  LIBRARIES nlohmann_json::nlohmann_json CLI11::CLI11 Threads::Threads TIMEOUT 900)
  target_include_directories(bevfusion_program_test PRIVATE "${PROJECT_SOURCE_DIR}/examples")
  target_compile_definitions(bevfusion_program_test PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             BEVFUSION_PROGRAM="$<TARGET_FILE:bevfusion>")
  add_dependencies(bevfusion_program_test bevfusion)
  set_tests_properties(bevfusion_program_test PROPERTIES COST 90)
  # Whole runs on a tiny data set, and the program itself, killed and resumed.
  fuller_add_test(bevfusion_training_test SOURCES "${tests}/bevfusion/training_test.cpp" "${tests}/bevfusion/resumed_run_test.cpp" TORCH
                  LABELS bevfusion integration LIBRARIES bevfusion_training TIMEOUT 900)
  target_compile_definitions(bevfusion_training_test PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             BEVFUSION_PROGRAM="$<TARGET_FILE:bevfusion>")
  add_dependencies(bevfusion_training_test bevfusion)
  set_tests_properties(bevfusion_training_test PROPERTIES COST 90)  # seconds: begun early, others run beside it
endif()
