#include "serve/batch/multipart.h"

#include <absl/strings/match.h>

#include "base/status.h"

namespace brisk::batch {
namespace {

constexpr size_t kPartsMax = 16;
constexpr size_t kBoundaryMax = 70;  // RFC 2046
constexpr size_t kHeadersMax = 8192;
constexpr std::string_view kLineEnd = "\r\n";

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return absl::StartsWithIgnoreCase(absl::string_view(text.data(), text.size()),
                                    absl::string_view(prefix.data(), prefix.size()));
}

// The value of `name` in "form-data; name=\"file\"; filename=\"a.jsonl\""; empty: it has none.
// Quoted values may hold \" and \\.
std::string parameter(std::string_view header, std::string_view name) {
  bool quoted = false;
  for (size_t i = 0; i < header.size(); ++i) {
    if (header[i] == '"') quoted = !quoted;
    if (quoted && header[i] == '\\') ++i;
    if (quoted || i >= header.size() || header[i] != ';') continue;
    std::string_view rest = header.substr(i + 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!starts_with_ignoring_case(rest, name) || rest.size() <= name.size() ||
        rest[name.size()] != '=') {
      continue;
    }
    rest.remove_prefix(name.size() + 1);
    if (!rest.starts_with('"')) return std::string(rest.substr(0, rest.find_first_of("; \t")));
    std::string value;
    for (size_t k = 1; k < rest.size() && rest[k] != '"'; ++k) {
      if (rest[k] == '\\' && k + 1 < rest.size()) ++k;
      value += rest[k];
    }
    return value;
  }
  return "";
}

// The headers before a part's content, of which one counts.
absl::StatusOr<FormPart> read_headers(std::string_view headers) {
  FormPart part;
  while (!headers.empty()) {
    const size_t end = std::min(headers.find(kLineEnd), headers.size());
    const std::string_view line = headers.substr(0, end);
    headers.remove_prefix(std::min(end + kLineEnd.size(), headers.size()));
    constexpr std::string_view kDisposition = "content-disposition:";
    if (!starts_with_ignoring_case(line, kDisposition)) continue;
    part.name = parameter(line.substr(kDisposition.size()), "name");
    part.filename = parameter(line.substr(kDisposition.size()), "filename");
  }
  if (part.name.empty()) return invalid_input("the form has a part without a name");
  return part;
}

}  // namespace

absl::StatusOr<std::vector<FormPart>> parse_multipart(std::string_view body,
                                                      std::string_view content_type) {
  const std::string boundary = parameter(content_type, "boundary");
  if (!starts_with_ignoring_case(content_type, "multipart/form-data") || boundary.empty() ||
      boundary.size() > kBoundaryMax) {
    return invalid_input("the body must be multipart/form-data, with a boundary");
  }
  const absl::Status cut = invalid_input("the form does not end with its boundary");
  const std::string first = "--" + boundary;
  const std::string next = "\r\n--" + boundary;
  if (body.starts_with(kLineEnd)) body.remove_prefix(kLineEnd.size());
  if (!body.starts_with(first)) return invalid_input("the form does not begin with its boundary");
  body.remove_prefix(first.size());
  std::vector<FormPart> parts;
  while (!body.starts_with("--")) {
    if (!body.starts_with(kLineEnd)) return cut;
    if (parts.size() == kPartsMax) {
      return invalid_input("the form has more than {} parts", kPartsMax);
    }
    const size_t headers_end = body.substr(0, kHeadersMax).find("\r\n\r\n");
    if (headers_end == std::string_view::npos) {
      return invalid_input("a part of the form has no end of its headers within {} bytes",
                           kHeadersMax);
    }
    const size_t headers_start = std::min(kLineEnd.size(), headers_end);
    BRISK_ASSIGN_OR_RETURN(FormPart part,
                           read_headers(body.substr(headers_start, headers_end - headers_start)));
    body.remove_prefix(headers_end + 4);
    const size_t end = body.find(next);
    if (end == std::string_view::npos) return cut;
    part.content = body.substr(0, end);
    body.remove_prefix(end + next.size());
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace brisk::batch
