# Read by cpack, once for each kind of package.
if(CPACK_GENERATOR STREQUAL "DEB")
  list(APPEND CPACK_INSTALLED_DIRECTORIES "${CPACK_FULLER_DOCUMENTS}/debian" usr)
else()
  list(APPEND CPACK_INSTALLED_DIRECTORIES "${CPACK_FULLER_DOCUMENTS}/archive" share/doc/fuller)
endif()
