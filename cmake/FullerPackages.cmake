# What cpack packs: libfuller-dev for Debian, and an archive of the same files with the documents that Debian wants elsewhere.
# `scripts/package` is the command to use.
set(FULLER_PACKAGE_CONTACT "fuller maintainers <maintainers@fuller.invalid>" CACHE STRING "Who answers for the Debian package: a name and <address>")
set(FULLER_PACKAGE_DATE "" CACHE STRING "The date of the Debian changelog's entry, as RFC 5322 has it")
mark_as_advanced(FULLER_PACKAGE_CONTACT FULLER_PACKAGE_DATE)

set(CPACK_PACKAGE_NAME fuller)
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGE_CONTACT "${FULLER_PACKAGE_CONTACT}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "gradient calibration of multi-task training (C++ headers)")
set(CPACK_PACKAGE_FILE_NAME "fuller-${PROJECT_VERSION}")
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_PACKAGE_NAME libfuller-dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libtorch-dev")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "cmake, libeigen3-dev")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Weighs the gradients of several tasks, and gates the branches of several
modalities, inside one ordinary loss.backward() of a LibTorch trainer:
FULLER, IMTL-G, GradNorm, PCGrad, wPCGrad, DWA and custom rules.
.
Headers only. The calibrators themselves need no LibTorch; they come with a
pkg-config file and CMake targets.")

# Documents: for the archive as they are, for Debian as its policy has them. Which goes where, cpack asks when it packs.
set(documents "${PROJECT_BINARY_DIR}/packages")
set(debian "${documents}/debian/share/doc/libfuller-dev")
file(MAKE_DIRECTORY "${documents}/archive" "${debian}")
foreach(document LICENSE README.md CHANGELOG.md CITATION.cff)
  if(EXISTS "${PROJECT_SOURCE_DIR}/${document}")
    configure_file("${PROJECT_SOURCE_DIR}/${document}" "${documents}/archive/${document}" COPYONLY)
  endif()
endforeach()
configure_file("${PROJECT_SOURCE_DIR}/packaging/debian/copyright.in" "${debian}/copyright" @ONLY)
configure_file("${PROJECT_SOURCE_DIR}/packaging/debian/lintian-overrides"
               "${documents}/debian/share/lintian/overrides/libfuller-dev" COPYONLY)
find_program(FULLER_GZIP gzip)
mark_as_advanced(FULLER_GZIP)
if(FULLER_GZIP)
  configure_file("${PROJECT_SOURCE_DIR}/packaging/debian/changelog.in" "${documents}/changelog.Debian" @ONLY)
  execute_process(COMMAND "${FULLER_GZIP}" -9nc "${documents}/changelog.Debian" OUTPUT_FILE "${debian}/changelog.Debian.gz")
  execute_process(COMMAND "${FULLER_GZIP}" -9nc "${PROJECT_SOURCE_DIR}/CHANGELOG.md" OUTPUT_FILE "${debian}/changelog.gz")
endif()
set(CPACK_PROJECT_CONFIG_FILE "${PROJECT_SOURCE_DIR}/cmake/FullerPackageDocuments.cmake")
set(CPACK_FULLER_DOCUMENTS "${documents}")
include(CPack)
