# Headers and a CMake package, the same on every machine: what depends on the machine is found where the package is used.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package "${CMAKE_INSTALL_DATADIR}/cmake/fuller")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/fuller" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
target_include_directories(fuller_core INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
install(TARGETS fuller_core EXPORT fullerTargets)
install(EXPORT fullerTargets NAMESPACE fuller:: DESTINATION "${package}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/fullerConfigVersion.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_SOURCE_DIR}/cmake/fullerConfig.cmake"
  "${PROJECT_BINARY_DIR}/fullerConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FullerLibrary.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FullerTorch.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FullerTorchFind.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FullerCuda.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FullerMembers.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/fuller_kernels.cu"
  "${PROJECT_SOURCE_DIR}/cmake/fuller_members.cpp"
  DESTINATION "${package}")

# For builds without CMake: fuller::core. Found wherever the package is moved to; LibTorch has no .pc file that one for
# fuller::torch could name.
file(RELATIVE_PATH FULLER_PREFIX_FROM_PC "/prefix/${CMAKE_INSTALL_DATADIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" FULLER_PREFIX_FROM_PC "${FULLER_PREFIX_FROM_PC}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/fuller.pc.in" "${PROJECT_BINARY_DIR}/fuller.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/fuller.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")

if(PROJECT_IS_TOP_LEVEL)
  include(FullerPackages)
endif()
