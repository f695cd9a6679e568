# Every C++ dependency is a Debian package (`./dev setup` installs them).

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(ICU REQUIRED COMPONENTS uc i18n)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# brisk-train alone needs libtorch, and oneDNN, which Debian's libtorch carries with it.
option(BRISK_TRAIN "Build brisk-train where libtorch is installed (./dev train installs it)" ON)
if(BRISK_SANITIZE)
  set(BRISK_TRAIN OFF)  # libtorch is not instrumented: sanitizers would blame it, or us for it
endif()
if(BRISK_TRAIN)
  find_path(TORCH_INCLUDE torch/csrc/autograd/custom_function.h)
  find_library(TORCH_LIBRARY torch)
  find_library(TORCH_CPU_LIBRARY torch_cpu)
  find_library(C10_LIBRARY c10)
  find_library(DNNL_LIBRARY NAMES dnnl libdnnl.so.2)
  if(TORCH_INCLUDE AND TORCH_LIBRARY AND TORCH_CPU_LIBRARY AND C10_LIBRARY AND DNNL_LIBRARY)
    add_library(brisk_torch INTERFACE)
    target_include_directories(brisk_torch SYSTEM INTERFACE
                               ${TORCH_INCLUDE} ${TORCH_INCLUDE}/torch/csrc/api/include)
    target_link_libraries(brisk_torch INTERFACE ${TORCH_LIBRARY} ${TORCH_CPU_LIBRARY}
                                                ${C10_LIBRARY} ${DNNL_LIBRARY})
  else()
    message(STATUS "libtorch is not installed: brisk-train is not built (./dev train)")
    set(BRISK_TRAIN OFF)
  endif()
endif()
