# fuller_add_members(name): a static library `name` that holds the bodies of what fuller.hpp declares. The programs and libraries that
# link it, in place of fuller::torch, compile the declarations alone, which takes a fraction of the time; all that is linked into one
# program either links it or does not. It inherits the compile options of the folder that calls this, as any library of yours.
include_guard(DIRECTORY)

function(fuller_add_members name)
  if(NOT TARGET fuller::torch)
    message(FATAL_ERROR "fuller_add_members(${name}): there is no LibTorch, and without one no bodies apart: fuller::core is all templates")
  endif()
  add_library(${name} STATIC "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/fuller_members.cpp")
  target_link_libraries(${name} PUBLIC fuller::torch)
  target_compile_definitions(${name} PUBLIC FULLER_SEPARATE_MEMBERS)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()
