# Evaluation of a network, and what becomes of its figures.
add_library(bevfusion_evaluation_lib STATIC
  evaluation/decode.cpp
  evaluation/evaluate.cpp
  evaluation/figures_json.cpp
  evaluation/figures_table.cpp
  evaluation/gallery.cpp
  evaluation/mask_thresholds.cpp
  evaluation/predict.cpp
  pictures/prediction_picture.cpp
  model/autocast.cpp)
fuller_program(bevfusion_evaluation_lib TORCH)
target_link_libraries(bevfusion_evaluation_lib PUBLIC bevfusion_model nlohmann_json::nlohmann_json)

if(FULLER_BUILD_TESTS)
  fuller_add_test(bevfusion_evaluation_test SOURCES "${PROJECT_SOURCE_DIR}/tests/bevfusion/evaluation_test.cpp"
                  TORCH LABELS bevfusion integration LIBRARIES bevfusion_evaluation_lib)
  fuller_add_test(bevfusion_gallery SOURCES "${PROJECT_SOURCE_DIR}/tests/bevfusion/gallery_test.cpp"
                  TORCH LABELS bevfusion integration LIBRARIES bevfusion_evaluation_lib PNG::PNG)
  target_compile_definitions(bevfusion_gallery PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_definitions(bevfusion_evaluation_test PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endif()
