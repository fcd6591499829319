# The program `bevfusion` and what its commands stand on. Without LibTorch it has the commands that need none.
add_executable(bevfusion commands/main.cpp commands/score_command.cpp commands/synth_command.cpp)
if(NOT FULLER_TORCH_FOUND)
  fuller_program(bevfusion)
  target_sources(bevfusion PRIVATE commands/commands_without_torch.cpp)
  target_link_libraries(bevfusion PRIVATE bevfusion_data CLI11::CLI11 nlohmann_json::nlohmann_json Threads::Threads)
  return()
endif()

add_library(bevfusion_program STATIC
  config/calibration_choice.cpp
  config/check_config.cpp
  config/config_file.cpp
  config/config_option.cpp
  config/data_fields.cpp
  config/model_fields.cpp
  config/run_config.cpp
  config/run_options.cpp
  config/training_fields.cpp)
fuller_program(bevfusion_program TORCH)
target_link_libraries(bevfusion_program PUBLIC bevfusion_model CLI11::CLI11
                      PRIVATE nlohmann_json::nlohmann_json tomlplusplus::tomlplusplus Threads::Threads)

include(training.cmake)

fuller_program(bevfusion TORCH)
target_sources(bevfusion PRIVATE
  commands/commands.cpp
  commands/train_command.cpp)
target_link_libraries(bevfusion PRIVATE bevfusion_program bevfusion_training nlohmann_json::nlohmann_json)

include(commands.cmake)
