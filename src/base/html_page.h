// Reports as HTML pages that refer to nothing outside themselves.
#pragma once

#include <string>
#include <string_view>

namespace brisk {

// The title, what was asked, then `body`, which is HTML: charts (svg_chart.h) in <div
// class="charts">, tables, in <div class="wide"> when they may be wider than the page.
std::string html_page(std::string_view title, std::string_view command, std::string_view body);

// `text` with the characters that mean something in HTML escaped.
std::string escape_html(std::string_view text);

}  // namespace brisk
