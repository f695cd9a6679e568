# Compiler and linker settings shared by every target of ours.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

# The product's release build keeps the portable baseline: instruction sets are chosen at run time,
# and no option may reorder floating-point operations (the numerics contract).
add_compile_options(-ffp-contract=off)

add_library(brisk_warnings INTERFACE)
target_compile_options(brisk_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports these falsely in inlined library code (PR 105329, 105545).
  target_compile_options(brisk_warnings INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
else()
  # clang blames us for what libstdc++ 12 uses inside std::stable_sort.
  target_compile_options(brisk_warnings INTERFACE -Wno-deprecated-declarations)
endif()

if(BRISK_SANITIZE)
  add_compile_options(-fsanitize=${BRISK_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BRISK_SANITIZE})
  if(BRISK_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # Asio's fences, which it does not see
  endif()
endif()
if(BRISK_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # the coverage that guides the fuzzer
endif()
