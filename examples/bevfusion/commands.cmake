# The commands that look at finished runs.
target_sources(bevfusion PRIVATE
  commands/eval_command.cpp
  commands/finished_run.cpp
  commands/predict_command.cpp)
