// Whether files are still what they were, without reading them.
#pragma once

#include <string>

namespace brisk {

// Names, sizes and times of the file `path`, or of the files in the directory (not of those below
// it). Empty where there is none. Links count as what they lead to.
std::string file_stamp(const std::string& path);

}  // namespace brisk
