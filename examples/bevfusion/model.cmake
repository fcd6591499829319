# The network, its losses and their tests: what needs LibTorch.
# The kinds of parts that a model may be made of, one a file: <folder>/<name>.cpp has void register_<name>(Kinds&).
bevfusion_registered(Kinds model/kinds.hpp kinds bevfusion_kinds
  camera/conv_backbone
  camera/swin_backbone
  fusion/concat_fuser
  fusion/direct_fuser
  fusion/second
  heads/fuller_det
  heads/fuller_seg
  lidar/pillars
  lidar/voxel_net)

add_library(bevfusion_model STATIC
  ${bevfusion_kinds}
  camera/lift_splat.cpp
  camera/neck.cpp
  camera/splat.cpp
  camera/swin.cpp
  fusion/gate_plan.cpp
  heads/attention_layer.cpp
  heads/inference_attention.cpp
  heads/mask_grid.cpp
  lidar/voxels.cpp
  losses/detection_loss.cpp
  losses/focal_loss.cpp
  losses/foreground_target.cpp
  losses/segmentation_loss.cpp
  model/batch.cpp
  model/bev_fusion.cpp
  model/blocks.cpp
  model/labels.cpp
  model/missing_input.cpp
  model/model_config.cpp
  model/network.cpp
  sparse/neighbours.cpp
  sparse/sparse_convolution.cpp
  sparse/sparse_tensor.cpp
  weights/init_from.cpp
  weights/name_map.cpp
  weights/pickle.cpp
  weights/state_file.cpp
  weights/zip_file.cpp)
fuller_program(bevfusion_model TORCH)
target_link_libraries(bevfusion_model PUBLIC bevfusion_data fuller::torch)

if(FULLER_BUILD_TESTS)
  set(tests "${PROJECT_SOURCE_DIR}/tests")
  fuller_add_test(bevfusion_model_test
                  SOURCES "${tests}/bevfusion/sparse_convolution_test.cpp" "${tests}/bevfusion/layers_test.cpp"
                          "${tests}/bevfusion/model_test.cpp" "${tests}/bevfusion/losses_test.cpp" "${tests}/bevfusion/attention_test.cpp"
                  TORCH LABELS bevfusion integration LIBRARIES bevfusion_model)
  fuller_add_test(bevfusion_parts_test
                  SOURCES "${tests}/bevfusion/parts_test.cpp" "${tests}/bevfusion/pillars_test.cpp"
                          "${tests}/bevfusion/weights_test.cpp"
                  TORCH LABELS bevfusion integration LIBRARIES bevfusion_model)
  target_compile_definitions(bevfusion_parts_test PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Against values of other programs, and fields of the config that change what a part does.
  fuller_add_test(bevfusion_part_options SOURCES "${tests}/bevfusion/swin_shift_test.cpp"
                          "${tests}/bevfusion/part_numbers_test.cpp" TORCH LABELS bevfusion integration
                  LIBRARIES bevfusion_model nlohmann_json::nlohmann_json)
  target_compile_definitions(bevfusion_part_options PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  fuller_add_test(bevfusion_hostile_weights SOURCES "${tests}/bevfusion/hostile_weights_test.cpp" "${tests}/fuzz/weights_targets.cpp"
                  TORCH LABELS bevfusion integration LIBRARIES bevfusion_model)
  target_compile_definitions(bevfusion_hostile_weights PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # The library that writes checkpoints is declared behind this file.
  fuller_add_test(bevfusion_init_test SOURCES "${tests}/bevfusion/init_checkpoint_test.cpp" TORCH LABELS bevfusion integration
                  LIBRARIES bevfusion_training)
  target_compile_definitions(bevfusion_init_test PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # On one real key frame, where it is at hand; the full size takes a minute and some gigabytes.
  fuller_add_test(bevfusion_key_frame_step SOURCES "${tests}/bevfusion/key_frame_step_test.cpp" TORCH LABELS bevfusion integration
                  LIBRARIES bevfusion_model)
  target_compile_definitions(bevfusion_key_frame_step PRIVATE FULLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME bevfusion_key_frame_full_step COMMAND bevfusion_key_frame_step "[.slow]")
  set_tests_properties(bevfusion_key_frame_full_step PROPERTIES LABELS "bevfusion;slow" SKIP_RETURN_CODE 77 TIMEOUT 900)
endif()

# As in data_tests.cmake. LibTorch itself goes without the sanitizers.
if(FULLER_FUZZ)
  add_library(bevfusion_weights_fuzzed OBJECT weights/name_map.cpp weights/pickle.cpp weights/state_file.cpp weights/zip_file.cpp
              "${PROJECT_SOURCE_DIR}/tests/fuzz/weights_targets.cpp")
  fuller_program(bevfusion_weights_fuzzed TORCH NO_PCH)
  target_include_directories(bevfusion_weights_fuzzed PUBLIC "${PROJECT_SOURCE_DIR}/examples" "${PROJECT_SOURCE_DIR}/tests")
  target_compile_options(bevfusion_weights_fuzzed PRIVATE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  foreach(reader state_file state_pickle name_map)
    add_executable(bevfusion_fuzz_${reader} "${PROJECT_SOURCE_DIR}/tests/fuzz/${reader}_fuzz.cpp")
    fuller_program(bevfusion_fuzz_${reader} TORCH NO_PCH)
    target_compile_options(bevfusion_fuzz_${reader} PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_options(bevfusion_fuzz_${reader} PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_libraries(bevfusion_fuzz_${reader} PRIVATE bevfusion_weights_fuzzed)
  endforeach()
endif()

include(evaluation.cmake)
