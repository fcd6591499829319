# Finds one LibTorch, as a whole, and describes it as the imported target fuller::libtorch. Used by the build of this project
# and by its installed package alike; docs/building.md tells what it spares you.
#
# LibTorch's own find_package(Torch) is not called: for a CUDA build it enables the CUDA language, chooses architectures, wants
# every CUDA library at link time, and, where a distribution's LibTorch is installed too, may pair the headers of one with the
# libraries of the other. A project that has called it before keeps what it found: its target `torch`, or Conan's `libtorch::libtorch`, is used then.
#
#   fuller_find_torch([REQUIRED])   sets in the caller's scope:
#     FULLER_TORCH_FOUND, FULLER_TORCH_VERSION, FULLER_TORCH_CXX_STANDARD (17 or 20), FULLER_TORCH_ORIGIN (its root folder),
#     FULLER_TORCH_CUDA (ON where the program links the CUDA side too), FULLER_TORCH_REASON (in words, where not found).
include_guard(DIRECTORY)

include("${CMAKE_CURRENT_LIST_DIR}/FullerTorchFind.cmake")

# Describes what fuller_locate_torch(torch) has found as fuller::libtorch.
function(_fuller_import_torch)
  list(TRANSFORM torch_FOLDERS PREPEND "LINKER:-rpath-link,")
  if(torch_COMPANIONS)
    list(APPEND torch_LIBRARIES "-Wl,--push-state,--no-as-needed" ${torch_COMPANIONS} "-Wl,--pop-state")
  endif()
  add_library(fuller::libtorch INTERFACE IMPORTED GLOBAL)
  # Folders that the compiler searches anyway must not be named: as -isystem they would break #include_next.
  list(REMOVE_ITEM torch_INCLUDES ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  set_target_properties(fuller::libtorch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${torch_INCLUDES}"
    INTERFACE_COMPILE_DEFINITIONS "${torch_DEFINITIONS}"
    INTERFACE_LINK_OPTIONS "${torch_FOLDERS}"
    INTERFACE_LINK_LIBRARIES "${torch_LIBRARIES}")
endfunction()

macro(_fuller_torch_result)
  set(FULLER_TORCH_FOUND ${found} PARENT_SCOPE)
  set(FULLER_TORCH_VERSION "${version}" PARENT_SCOPE)
  set(FULLER_TORCH_CXX_STANDARD "${standard}" PARENT_SCOPE)
  set(FULLER_TORCH_ORIGIN "${origin}" PARENT_SCOPE)
  set(FULLER_TORCH_CUDA ${cuda} PARENT_SCOPE)
  set(FULLER_TORCH_REASON "${reason}" PARENT_SCOPE)
endmacro()

# The target that the project found itself, if any: that of LibTorch's own package, or the one that Conan writes.
function(_fuller_given_torch out)
  set(${out} "" PARENT_SCOPE)
  foreach(target torch libtorch::libtorch)
    if(TARGET ${target})
      set(${out} ${target} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# Takes the target that the project found itself, or the whole of it elsewhere than on Linux.
function(_fuller_adopt_torch target out_directories out_origin)
  get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
  set(plain "")
  foreach(directory IN LISTS directories TORCH_INCLUDE_DIRS Torch_INCLUDE_DIRS)
    if(IS_ABSOLUTE "${directory}" AND NOT directory MATCHES "\\$<")
      get_filename_component(directory "${directory}" ABSOLUTE)
      list(APPEND plain "${directory}")
    endif()
  endforeach()
  add_library(fuller::libtorch INTERFACE IMPORTED GLOBAL)
  set_target_properties(fuller::libtorch PROPERTIES INTERFACE_LINK_LIBRARIES ${target})
  set(${out_directories} "${plain}" PARENT_SCOPE)
  set(${out_origin} "${TORCH_INSTALL_PREFIX}" PARENT_SCOPE)
endfunction()

function(fuller_find_torch)
  cmake_parse_arguments(PARSE_ARGV 0 arg "REQUIRED" "" "")
  set(found OFF)
  set(cuda OFF)
  foreach(value version standard origin reason)
    set(${value} "")
  endforeach()

  if(TARGET fuller::libtorch)  # found before, by another part of the same build
    foreach(value version standard origin cuda)
      get_property(${value} GLOBAL PROPERTY FULLER_TORCH_${value})
    endforeach()
    set(found ON)
    _fuller_torch_result()
    return()
  endif()

  _fuller_given_torch(given)
  if(NOT given AND NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    find_package(Torch QUIET HINTS ${FULLER_TORCH_ROOT})
    _fuller_given_torch(given)
  endif()
  if(given)
    _fuller_adopt_torch(${given} directories origin)
    fuller_torch_version(version "${directories}")
    if(NOT version)
      set(version "${Torch_VERSION}")
    endif()
    fuller_torch_standard(standard "${version}")
    if(FULLER_TORCH_ROOT AND origin)
      get_filename_component(wanted "${FULLER_TORCH_ROOT}" REALPATH)
      get_filename_component(there "${origin}" REALPATH)
      if(NOT wanted STREQUAL there)
        message(FATAL_ERROR "fuller: FULLER_TORCH_ROOT is ${wanted}, but this project has already found the LibTorch in "
                            "${there}. Two of them in one program would mix: leave one out.")
      endif()
    endif()
    set(found ON)
    if(TARGET torch_cuda)
      set(cuda ON)
    endif()
  else()
    fuller_locate_torch(torch)
    set(reason "${torch_REASON}")
    if(torch_FOUND)
      _fuller_import_torch()
      set(found ON)
      set(origin "${torch_ROOT}")
      set(version "${torch_VERSION}")
      set(standard "${torch_STANDARD}")
      set(cuda ${torch_CUDA})
    endif()
  endif()

  if(found)
    foreach(value version standard origin cuda)
      set_property(GLOBAL PROPERTY FULLER_TORCH_${value} "${${value}}")
    endforeach()
  elseif(arg_REQUIRED)
    message(FATAL_ERROR "fuller: LibTorch is asked for, but ${reason}. On Debian: apt-get install libtorch-dev.")
  endif()
  _fuller_torch_result()
endfunction()
