# Shorthands used by every CMakeLists.txt of the tree.

find_program(YOKE_CCACHE ccache)
if(YOKE_CCACHE)
  # Precompiled headers are cached only when ccache may ignore their time stamps.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                                  CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${YOKE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

# yoke_library(NAME SRCS a.cc ... DEPS targets... [TORCH] [TOGETHER])
# A static library; without SRCS, a header-only one. TORCH reuses the LibTorch precompiled header. TOGETHER compiles ten
# files at a time: their headers (and reading the precompiled one) take most of the time, once instead of ten times. Names
# of their unnamed namespaces must differ (tests/tidy).
function(yoke_library name)
  cmake_parse_arguments(A "TORCH;TOGETHER" "" "SRCS;DEPS" ${ARGN})
  if(A_SRCS)
    add_library(${name} STATIC ${A_SRCS})
    set_target_properties(${name} PROPERTIES UNITY_BUILD "${A_TOGETHER}" UNITY_BUILD_BATCH_SIZE 10)
    if(A_TOGETHER)
      target_compile_options(${name} PRIVATE -Wno-subobject-linkage)  # takes the sources for headers
    endif()
    target_link_libraries(${name} PUBLIC ${A_DEPS})
    if(A_TORCH)
      target_link_libraries(${name} PUBLIC yoke_torch)
      target_precompile_headers(${name} REUSE_FROM yoke_torch_pch)
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${A_DEPS})
  endif()
endfunction()

# Executables are compiled like the libraries (-fPIC), or they could not use a precompiled header.
function(yoke_use_precompiled name owner)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_precompile_headers(${name} REUSE_FROM ${owner})
endfunction()
function(yoke_use_torch name)
  target_link_libraries(${name} PRIVATE yoke_torch)
  yoke_use_precompiled(${name} yoke_torch_pch)
endfunction()

# yoke_program(NAME SRCS a.cc ... DEPS targets... [TORCH] [TOGETHER])
function(yoke_program name)
  cmake_parse_arguments(A "TORCH;TOGETHER" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${A_SRCS})
  set_target_properties(${name} PROPERTIES UNITY_BUILD "${A_TOGETHER}" UNITY_BUILD_BATCH_SIZE 10)
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  if(A_TORCH)
    yoke_use_torch(${name})
  endif()
endfunction()

# yoke_static_program(NAME SRCS a.cc ... DEPS yoke_x ... PACKAGES absl_x ... [SHARED ssl ...])
# Linked statically: it outlives upgrades of the machine's libraries, and starts several times faster. With SHARED, all
# but those libraries and C's own, for which the machine's upgrades matter. DEPS are libraries of the tree, each before
# those that it uses. Debian's CMake files for abseil and gRPC name shared libraries only, so what these use is found by
# pkg-config. Sanitizers cannot be linked statically: it is a program like others then.
function(yoke_static_program name)
  cmake_parse_arguments(A "" "" "SRCS;DEPS;PACKAGES;SHARED" ${ARGN})
  yoke_program(${name} SRCS ${A_SRCS})
  if(YOKE_SANITIZE)
    target_link_libraries(${name} PRIVATE ${A_DEPS})
    return()
  endif()
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(YOKE_STATIC_${name} REQUIRED ${A_PACKAGES})
  list(TRANSFORM A_DEPS REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE archives)
  add_dependencies(${name} ${A_DEPS})
  foreach(library ${A_DEPS})
    target_include_directories(${name} SYSTEM PRIVATE $<TARGET_PROPERTY:${library},INTERFACE_INCLUDE_DIRECTORIES>)
    target_compile_definitions(${name} PRIVATE $<TARGET_PROPERTY:${library},INTERFACE_COMPILE_DEFINITIONS>)
  endforeach()
  if(A_SHARED)
    set(system atomic dl m pthread rt ${A_SHARED})
    foreach(library ${YOKE_STATIC_${name}_STATIC_LIBRARIES})
      if(library IN_LIST system)
        list(APPEND archives -l${library})
      else()
        list(APPEND archives -l:lib${library}.a)
      endif()
    endforeach()
    target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
    target_link_libraries(${name} PRIVATE ${archives} Threads::Threads)
  else()
    target_link_options(${name} PRIVATE -static)
    target_link_libraries(${name} PRIVATE ${archives} ${YOKE_STATIC_${name}_STATIC_LDFLAGS})
  endif()
endfunction()

# Instrumented programs take several times as long.
macro(yoke_sanitized_timeout seconds)
  if(YOKE_SANITIZE)
    math(EXPR ${seconds} "${${seconds}} * 5")
  endif()
endmacro()

# yoke_test(NAME SRCS a_test.cc ... DEPS targets... [TORCH] [PROGRAMS yoked ...] [LABELS unit ...] [TIMEOUT seconds])
# One GoogleTest program and one ctest entry of the same name. Programs are built before it and found
# beside it in bin/. Its files are compiled together. LibTorch's threads sleep while they wait: tests run side by side.
# A test of the daemon side (YOKE_TESTS_OF_DAEMON) is left out without YOKE_DAEMON_UNITS. Labels: unit, numerics, integration, e2e, tidy; default unit.
function(yoke_test name)
  cmake_parse_arguments(A "TORCH" "TIMEOUT" "SRCS;DEPS;LABELS;PROGRAMS" ${ARGN})
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  yoke_sanitized_timeout(A_TIMEOUT)
  add_executable(${name} ${A_SRCS})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  if(A_TORCH)
    yoke_use_torch(${name})
  else()
    target_compile_options(${name} PRIVATE -pthread)  # as some of what they link asks for, and the header has to have
    yoke_use_precompiled(${name} yoke_test_pch)
  endif()
  if(A_PROGRAMS)
    add_dependencies(${name} ${A_PROGRAMS})
  endif()
  if(YOKE_TESTS_OF_DAEMON AND NOT YOKE_DAEMON_UNITS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    return()
  endif()
  add_test(NAME ${name} COMMAND ${name} --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${name}.xml)
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "YOKE_SOURCE_DIR=${CMAKE_SOURCE_DIR};YOKE_BIN_DIR=${CMAKE_BINARY_DIR}/bin;OMP_WAIT_POLICY=PASSIVE")
endfunction()

# yoke_python_test(NAME FILE [LABELS unit ...] [TIMEOUT seconds])
# One ctest entry that runs a Python file with the programs' folder in YOKE_BIN_DIR and a place for its results in
# YOKE_RESULT_XML; tests/support and tests/e2e are on its path.
function(yoke_python_test name file)
  cmake_parse_arguments(A "" "TIMEOUT" "LABELS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  yoke_sanitized_timeout(A_TIMEOUT)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  add_test(NAME ${name} COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} ENVIRONMENT
    "YOKE_BIN_DIR=${CMAKE_BINARY_DIR}/bin;YOKE_SANITIZE=${YOKE_SANITIZE};YOKE_RESULT_XML=${CMAKE_BINARY_DIR}/test-results/${name}.xml;PYTHONDONTWRITEBYTECODE=1;PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support:${CMAKE_SOURCE_DIR}/tests/e2e")
endfunction()
