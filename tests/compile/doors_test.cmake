# cmake -DWORK=<folder to work in> -P doors_test.cmake
#
# Small trees of headers: one in order, and the same with one line that breaks one rule. doors.cmake must accept the first and
# say the expected words on each of the others.
cmake_minimum_required(VERSION 3.22)
set(licence "// SPDX-License-Identifier: Apache-2.0\n")
set(head "${licence}#pragma once\n")

function(make_tree)
  file(REMOVE_RECURSE "${WORK}")
  file(WRITE "${WORK}/fuller/core/a.hpp" "${head}")
  file(WRITE "${WORK}/fuller/calibrators/b.hpp" "${head}#include <fuller/core/a.hpp>\n")
  file(WRITE "${WORK}/fuller/cpu/c.hpp" "${head}#include <fuller/core/a.hpp>\n#include <vector>\n")
  file(WRITE "${WORK}/fuller/autograd/d.hpp"
       "${head}#include <fuller/calibrators/b.hpp>\n#include <fuller/cpu/c.hpp>\n#include <ATen/core/Tensor.h>\n")
  file(WRITE "${WORK}/fuller/fuller.hpp" "${head}#include <fuller/autograd/d.hpp>\n")
endfunction()

function(run out_status out_text)
  execute_process(COMMAND "${CMAKE_COMMAND}" "-DINCLUDE=${WORK}" -P "${CMAKE_CURRENT_LIST_DIR}/doors.cmake"
                  RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")
  set(${out_status} "${status}" PARENT_SCOPE)
  set(${out_text} "${text}" PARENT_SCOPE)
endfunction()

make_tree()
run(status text)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "a tree in order was refused: ${text}")
endif()

function(expect words header)
  make_tree()
  file(WRITE "${WORK}/fuller/${header}" ${ARGN})
  run(status text)
  if(status EQUAL 0 OR NOT text MATCHES "${words}")
    message(FATAL_ERROR "expected '${words}' for ${header} with '${ARGN}', got ${status}: ${text}")
  endif()
endfunction()

expect("header of 'core' must not know fuller/calibrators" core/a.hpp "${head}#include <fuller/calibrators/b.hpp>\n")
expect("header of 'core' must not know fuller/cpu" core/a.hpp "${head}#  include <fuller/cpu/c.hpp>\n")
expect("header of 'calibrators' must not know fuller/autograd" calibrators/b.hpp "${head}#include <fuller/autograd/d.hpp>\n")
expect("header of 'cpu' must not know fuller/calibrators" cpu/c.hpp "${head}#include <fuller/calibrators/b.hpp>\n")
expect("header of 'calibrators' must not know LibTorch" calibrators/b.hpp "${head}#include <c10/util/Exception.h>\n")
expect("header of 'cpu' must not know LibTorch" cpu/c.hpp "${head}#include <ATen/Parallel.h>\n")
expect("header of 'core' must not know CUDA" core/a.hpp "${head}#include <cuda_runtime.h>\n")
expect("includes all of LibTorch" autograd/d.hpp "${head}#include <torch/torch.h>\n")
expect("in quotes" calibrators/b.hpp "${head}#include \"rule.hpp\"\n")
expect("does not exist" calibrators/b.hpp "${head}#include <fuller/core/gone.hpp>\n")
expect("only fuller/eigen.hpp knows Eigen" calibrators/b.hpp "${head}#include <Eigen/Core>\n")
expect("does not lead to fuller/calibrators/e.hpp" calibrators/e.hpp "${head}")
expect("no room named attic" attic/e.hpp "${head}")
expect("no #pragma once" core/a.hpp "${licence}")
expect("the first line is not the licence" core/a.hpp "#pragma once\n")
