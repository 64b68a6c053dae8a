# Shorthands used by every CMakeLists.txt of the tree.

find_program(YOKE_CCACHE ccache)
if(YOKE_CCACHE)
  # Precompiled headers are cached only when ccache may ignore their time stamps.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                                  CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${YOKE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

# yoke_library(NAME SRCS a.cc ... DEPS targets... [TORCH])
# A static library; without SRCS, a header-only one. TORCH reuses the LibTorch precompiled header.
function(yoke_library name)
  cmake_parse_arguments(A "TORCH" "" "SRCS;DEPS" ${ARGN})
  if(A_SRCS)
    add_library(${name} STATIC ${A_SRCS})
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

# Executables are compiled like the libraries (-fPIC), or they could not use the precompiled header.
function(yoke_use_torch name)
  target_link_libraries(${name} PRIVATE yoke_torch)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_precompile_headers(${name} REUSE_FROM yoke_torch_pch)
endfunction()

# yoke_program(NAME SRCS a.cc ... DEPS targets... [TORCH])
function(yoke_program name)
  cmake_parse_arguments(A "TORCH" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${A_SRCS})
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  if(A_TORCH)
    yoke_use_torch(${name})
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
# beside it in bin/. LibTorch's threads sleep while they wait: tests run side by side. Labels: unit, numerics, integration, e2e, tidy; default unit.
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
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  if(A_TORCH)
    yoke_use_torch(${name})
  endif()
  if(A_PROGRAMS)
    add_dependencies(${name} ${A_PROGRAMS})
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
