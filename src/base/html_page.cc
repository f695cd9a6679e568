#include "base/html_page.h"

#include <fmt/format.h>

namespace brisk {
namespace {

constexpr const char* kStyle = R"(
body{font:15px/1.5 system-ui,sans-serif;max-width:88rem;margin:2rem auto;padding:0 1rem;
color:#1c2733;background:#fff}
pre{background:#f3f5f7;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}
.charts{margin-top:1rem;display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:1rem}
figure{margin:0}figcaption{font-weight:600}
svg{width:100%;font-size:12px;fill:currentColor}
.grid{stroke:#8884}
.wide{overflow-x:auto}
.missed{border-left:4px solid #c8372d;padding:.2rem 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8884}
.names td,.names th{white-space:nowrap}.names td:first-child,.names th:first-child{text-align:left}
@media(prefers-color-scheme:dark){body{color:#dfe6ee;background:#151a20}pre{background:#20262d}}
)";

}  // namespace

std::string html_page(std::string_view title, std::string_view command, std::string_view body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>{0}</title>"
      "<style>{1}</style></head><body>\n<h1>{0}</h1>\n<pre>{2}</pre>\n{3}</body></html>\n",
      escape_html(title), kStyle, escape_html(command), body);
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace brisk
