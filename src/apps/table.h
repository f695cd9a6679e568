// Text in columns: what people compare is printed as a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace brisk {

enum class Align : uint8_t { kLeft, kRight };

// Rows of equally many cells, the first one the heading (underlined), each column as wide as its
// widest cell. Columns without an entry in `align` are left-aligned. Ends with a line break.
std::string table(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<Align>& align);

}  // namespace brisk
