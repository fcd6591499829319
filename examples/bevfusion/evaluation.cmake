# Evaluation of a network, and what becomes of its figures.
add_library(bevfusion_evaluation_lib STATIC
  evaluation/decode.cpp
  evaluation/evaluate.cpp
  evaluation/figures_json.cpp
  evaluation/predict.cpp
  model/autocast.cpp)
fuller_program(bevfusion_evaluation_lib TORCH)
target_link_libraries(bevfusion_evaluation_lib PUBLIC bevfusion_model nlohmann_json::nlohmann_json)
