# Debian's gRPC and protobuf, and yoke_proto_library() which generates C++ from the .proto files.
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_program(YOKE_PROTOC protoc REQUIRED)
find_program(YOKE_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

# yoke_proto_library(NAME PROTOS a.proto ...): paths relative to proto/.
function(yoke_proto_library name)
  cmake_parse_arguments(A "" "" "PROTOS" ${ARGN})
  set(root ${CMAKE_SOURCE_DIR}/proto)
  set(out ${CMAKE_BINARY_DIR}/gen)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto ${A_PROTOS})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(gen ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
    set(grpc)
    file(STRINGS ${root}/${proto} services REGEX "^service ")
    if(services)
      list(APPEND gen ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
      set(grpc --grpc_out=generate_mock_code=false:${out} --plugin=protoc-gen-grpc=${YOKE_GRPC_CPP_PLUGIN})
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${proto})  # it may get a service
    add_custom_command(OUTPUT ${gen}
      COMMAND ${YOKE_PROTOC} -I ${root} --cpp_out=${out} ${grpc} ${proto}
      WORKING_DIRECTORY ${root} DEPENDS ${root}/${proto} VERBATIM)
    list(FILTER gen INCLUDE REGEX "\\.cc$")
    list(APPEND sources ${gen})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf gRPC::grpc++)
endfunction()
