# bevfusion_registered(<type> <header> <function> <variable> FILE...): writes <function>.cpp, which calls register_<name> of every
# <folder>/<name>, and sets <variable> to the sources of the list and that file.
function(bevfusion_registered type header function variable)
  set(sources "")
  set(declarations "")
  set(calls "")
  foreach(file IN LISTS ARGN)
    get_filename_component(name "${file}" NAME)
    list(APPEND sources "${file}.cpp")
    string(APPEND declarations "void register_${name}(${type}& all);\n")
    string(APPEND calls "    register_${name}(all_of_list);\n")
  endforeach()
  configure_file("${CMAKE_CURRENT_SOURCE_DIR}/registered.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/${function}.cpp" @ONLY)
  set(${variable} ${sources} "${CMAKE_CURRENT_BINARY_DIR}/${function}.cpp" PARENT_SCOPE)
endfunction()

# bevfusion_task_sheets(<variable> FILE...): writes task_sheets.cpp, which asks <name>_sheet() of every <folder>/<name>.hpp, and sets
# <variable> to it.
function(bevfusion_task_sheets variable)
  set(includes "")
  set(calls "")
  foreach(file IN LISTS ARGN)
    get_filename_component(name "${file}" NAME)
    string(APPEND includes "#include \"bevfusion/${file}.hpp\"\n")
    string(APPEND calls "${name}_sheet(), ")
  endforeach()
  configure_file("${CMAKE_CURRENT_SOURCE_DIR}/task_sheets.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/task_sheets.cpp" @ONLY)
  set(${variable} "${CMAKE_CURRENT_BINARY_DIR}/task_sheets.cpp" PARENT_SCOPE)
endfunction()
