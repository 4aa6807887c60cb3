# Everything comes from Debian's packages (scripts/lib/packages.txt); nothing is downloaded by the build.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL 7.88 REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_path(KAINJOW_MUSTACHE_INCLUDE_DIR kainjow/mustache.hpp REQUIRED)
# Module mode first: gRPC's package expects its targets to be there.
find_package(Protobuf REQUIRED)
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka++ rdkafka)
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(CLI11 REQUIRED IMPORTED_TARGET CLI11)
# Fonts by FreeType.
pkg_check_modules(CAIRO REQUIRED IMPORTED_TARGET cairo cairo-ft freetype2)
if(STOCKALERT_WITH_GRPC)
  find_package(gRPC CONFIG REQUIRED)
  if(BUILD_TESTING)
    find_package(benchmark REQUIRED)
  endif()
endif()

# SOCI 4.0.3 of Debian ships no CMake package.
find_path(SOCI_INCLUDE_DIR soci/soci.h REQUIRED)
find_library(SOCI_CORE_LIBRARY soci_core REQUIRED)
find_library(SOCI_POSTGRESQL_LIBRARY soci_postgresql REQUIRED)
add_library(soci_postgresql INTERFACE)
target_include_directories(soci_postgresql SYSTEM INTERFACE ${SOCI_INCLUDE_DIR} /usr/include/postgresql)
target_link_libraries(soci_postgresql INTERFACE ${SOCI_CORE_LIBRARY} ${SOCI_POSTGRESQL_LIBRARY} PkgConfig::LIBPQ)
# Debian's SOCI hides the type information that the sanitizer's check of virtual tables asks for.
if(CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize=[a-z,]*undefined")
  target_compile_options(soci_postgresql INTERFACE -fno-sanitize=vptr)
endif()

# The google.rpc error types, from the package that has ErrorInfo.
find_path(GOOGLE_RPC_PROTO_DIR google/rpc/error_details.proto
  PATHS /usr/share/gocode/src/github.com/gogo/googleapis REQUIRED)
# grpcurl finds the health service through reflection only where its proto is linked in.
find_path(GRPC_PROTO_DIR grpc/health/v1/health.proto PATHS /usr/share/grpc-proto REQUIRED)
