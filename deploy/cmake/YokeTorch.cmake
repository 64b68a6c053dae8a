# LibTorch from the unpacked wheels, as imported targets. The wheel's own TorchConfig.cmake is not used:
# it demands a CUDA toolkit.
#   yoke_torch       what engine and worker link: libtorch_cpu and libc10
#   yoke_torch_pch   owns the precompiled header
#   yoke_torch_cuda  headers and libraries of the CUDA-only module, where the wheels hold them
if(NOT YOKE_TORCH_DIR)
  if(DEFINED ENV{YOKE_CACHE_DIR})
    set(_cache $ENV{YOKE_CACHE_DIR})
  elseif(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(_cache $ENV{XDG_CACHE_HOME}/yoke)
  else()
    set(_cache $ENV{HOME}/.cache/yoke)
  endif()
  set(_torch ${_cache}/libtorch-2.11.0)
else()
  set(_torch ${YOKE_TORCH_DIR})
endif()
if(NOT EXISTS ${_torch}/torch/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No LibTorch in ${_torch}.\nRun deploy/deps/fetch-libtorch, or pass -DYOKE_TORCH_DIR=<site-packages folder with torch/ and nvidia/>, or -DYOKE_WORKER=OFF.")
endif()

# The bundle carries its own copies (hard links where the file system allows), so that it can be moved.
set(_bundle ${CMAKE_BINARY_DIR}/lib)
file(MAKE_DIRECTORY ${_bundle})
file(GLOB _cudart ${_torch}/nvidia/cu13/lib/libcudart.so.13 ${_torch}/nvidia/cu13/lib/libcupti.so.13)
file(GLOB _gomp ${_torch}/torch/lib/libgomp*.so*)
# Where the wheels of the cuda flavour are: what libyoke_cuda.so is linked with, and what that is.
set(_cuda)
if(EXISTS ${_torch}/nvidia/cudnn)
  file(GLOB _cuda ${_torch}/torch/lib/libtorch_cuda.so ${_torch}/torch/lib/libc10_cuda.so ${_torch}/torch/lib/libtorch_nvshmem.so
    ${_torch}/nvidia/*/lib/*.so*)
endif()
foreach(lib ${_torch}/torch/lib/libtorch_cpu.so ${_torch}/torch/lib/libc10.so ${_cudart} ${_gomp} ${_cuda})
  get_filename_component(name ${lib} NAME)
  if(NOT EXISTS ${_bundle}/${name} OR ${lib} IS_NEWER_THAN ${_bundle}/${name})
    file(CREATE_LINK ${lib} ${_bundle}/${name} COPY_ON_ERROR)
  endif()
endforeach()

add_library(yoke_torch INTERFACE)
target_include_directories(yoke_torch SYSTEM INTERFACE ${_torch}/torch/include ${_torch}/torch/include/torch/csrc/api/include)
target_compile_definitions(yoke_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(yoke_torch INTERFACE ${_bundle}/libtorch_cpu.so ${_bundle}/libc10.so Threads::Threads)
target_link_options(yoke_torch INTERFACE LINKER:-rpath-link,${_bundle})

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/torch_pch.cc CONTENT "// owns the precompiled header\n")
add_library(yoke_torch_pch STATIC ${CMAKE_BINARY_DIR}/torch_pch.cc)
target_link_libraries(yoke_torch_pch PUBLIC yoke_torch absl::status absl::statusor absl::strings absl::span)
target_precompile_headers(yoke_torch_pch PRIVATE
  <ATen/ATen.h> <torch/types.h> <torch/nn/module.h> <torch/csrc/autograd/custom_function.h>
  <absl/status/statusor.h> <absl/strings/str_cat.h> <memory> <string> <vector> <map> <optional> <functional>)

if(EXISTS ${_torch}/torch/lib/libtorch_cuda.so AND EXISTS ${_torch}/nvidia/nccl/include/nccl.h)
  add_library(yoke_torch_cuda INTERFACE)
  target_include_directories(yoke_torch_cuda SYSTEM INTERFACE ${_torch}/nvidia/cu13/include ${_torch}/nvidia/nccl/include
    ${CMAKE_SOURCE_DIR}/deploy/cmake/cuda_handles)
  target_compile_definitions(yoke_torch_cuda INTERFACE USE_C10D_NCCL)
  target_link_libraries(yoke_torch_cuda INTERFACE yoke_torch ${_torch}/torch/lib/libtorch_cuda.so ${_torch}/torch/lib/libc10_cuda.so
    ${_torch}/nvidia/cu13/lib/libcudart.so.13)
  # cuDNN, cuBLAS and NCCL come with the driver side of an installation, not with a build.
  target_link_options(yoke_torch_cuda INTERFACE LINKER:--unresolved-symbols=ignore-in-shared-libs)
endif()
