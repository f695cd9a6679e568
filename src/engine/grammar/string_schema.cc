#include "engine/grammar/string_schema.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/status.h"
#include "engine/grammar/regex_grammar.h"

namespace brisk {
namespace {

// Leap years are those that 4 divides, except hundreds that 400 does not.
#define BRISK_DATE                                                                         \
  "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)" \
  "|02-(0[1-9]|1[0-9]|2[0-8]))"                                                            \
  "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
#define BRISK_TIME                                           \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?" \
  "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define BRISK_LABEL "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#define BRISK_BYTE "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define BRISK_HEX "[0-9a-fA-F]"
#define BRISK_GROUP BRISK_HEX "{1,4}"

struct Format {
  std::string_view name;
  std::string_view regex;
};

constexpr std::array kFormats = {
    Format{"date", BRISK_DATE},
    Format{"time", BRISK_TIME},
    Format{"date-time", BRISK_DATE "T" BRISK_TIME},
    Format{"duration",
           "P([0-9]{1,9}W|[0-9]{1,9}D|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}"
           "D)?)?|([0-9]{1,9}D|[0-9]{1,9}Y)?T([0-9]{1,9}S|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}H([0-"
           "9]{1,9}M([0-9]{1,9}S)?)?))"},
    Format{"email",
           "[a-zA-Z0-9_+-]{1,16}(\\.[a-zA-Z0-9_+-]{1,16}){0,2}@(" BRISK_LABEL "\\.){1,3}[a-zA-Z]{2,"
           "16}"},
    Format{"hostname", "(" BRISK_LABEL "\\.){0,3}" BRISK_LABEL},
    Format{"uuid",
           BRISK_HEX "{8}-" BRISK_HEX "{4}-" BRISK_HEX "{4}-" BRISK_HEX "{4}-" BRISK_HEX "{12}"},
    Format{"ipv4", BRISK_BYTE "(\\." BRISK_BYTE "){3}"},
    // Eight groups, or :: for some of them at the beginning, the end or in between.
    Format{"ipv6",
           "(" BRISK_GROUP ":){7}" BRISK_GROUP "|::(" BRISK_GROUP "(:" BRISK_GROUP "){0,6})?|"
           "(" BRISK_GROUP ":){1,7}:|" BRISK_GROUP ":(:" BRISK_GROUP "){1,6}|(" BRISK_GROUP
           ":){2}(:" BRISK_GROUP "){1,5}|(" BRISK_GROUP ":){3}(:" BRISK_GROUP "){1,4}|(" BRISK_GROUP
           ":){4}(:" BRISK_GROUP "){1,3}|(" BRISK_GROUP ":){5}(:" BRISK_GROUP "){1,2}|(" BRISK_GROUP
           ":){6}:" BRISK_GROUP},
    Format{"uri",
           "[a-zA-Z][a-zA-Z0-9+.-]{0,15}://[a-zA-Z0-9._~-]+(:[0-9]{1,5})?"
           "(/([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})*)*"
           "(\\?([a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?"
           "(#([a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?"},
};

#undef BRISK_DATE
#undef BRISK_TIME
#undef BRISK_LABEL
#undef BRISK_BYTE
#undef BRISK_HEX
#undef BRISK_GROUP

absl::StatusOr<ExprId> format_expr(const std::string& name, Grammar* grammar) {
  const auto* format = std::ranges::find(kFormats, name, &Format::name);
  if (format == kFormats.end()) {
    return invalid_input(
        "'format' \"{}\" is not supported: date, time, date-time, duration, email, hostname, uuid, "
        "ipv4, ipv6 and uri are",
        name.substr(0, 100));
  }
  return regex_expr(format->regex, {.in_json_string = true}, grammar);
}

}  // namespace

absl::StatusOr<ExprId> string_schema_expr(const StringSchema& schema, JsonText* text,
                                          Grammar* grammar) {
  const bool has_length = schema.length_min.has_value() || schema.length_max.has_value();
  if (!has_length && !schema.pattern && !schema.format) return text->any_string();
  const int min = schema.length_min.value_or(0);
  const int max = schema.length_max.value_or(kUnbounded);
  if (max != kUnbounded && min > max) return grammar->nothing();
  ExprId content = grammar->repeat(text->string_char(), min, max);
  if (schema.pattern.has_value()) {
    auto pattern = regex_expr(*schema.pattern, {.in_json_string = true, .searches = true}, grammar);
    if (!pattern.ok()) return annotate(pattern.status(), "'pattern'");
    content = has_length ? grammar->both(content, *pattern) : *pattern;
  }
  if (schema.format.has_value()) {
    BRISK_ASSIGN_OR_RETURN(const ExprId format, format_expr(*schema.format, grammar));
    const bool has_others = has_length || schema.pattern.has_value();
    content = has_others ? grammar->both(format, content) : format;
  }
  return text->quoted(content);
}

}  // namespace brisk
