// A file of the source tree as bytes of the program.
//
//   BRISK_EMBED(brisk_page, "/where/page.html");  // at namespace scope, in one .cc file
//   extern "C" { extern const char brisk_page_begin[]; extern const char brisk_page_end[]; }
#pragma once

#define BRISK_EMBED(symbol, path)                            \
  asm(".pushsection .rodata\n"                               \
      ".global " #symbol "_begin, " #symbol "_end\n" #symbol \
      "_begin:\n"                                            \
      ".incbin \"" path "\"\n" #symbol                       \
      "_end:\n"                                              \
      ".popsection\n")
