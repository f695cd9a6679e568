#include "serve/api/structured_output.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

using Kind = GrammarSource::Kind;

// Collects what the fields say; more than one demand is a fault.
class Reader {
 public:
  Reader(Fields& fields, std::string_view body) : fields_(fields), body_(body) {}

  std::optional<StructuredOutput> run() {
    read_response_format();
    read_structured_outputs();
    read_schema(fields_, "guided_json", "guided_json", {"guided_json"});
    read_text(fields_, "guided_regex", "guided_regex", Kind::kRegex);
    read_text(fields_, "guided_grammar", "guided_grammar", Kind::kGbnf);
    read_choice(fields_, "guided_choice", "guided_choice");
    for (const char* name : {"guided_decoding_backend", "guided_whitespace_pattern"}) {
      fields_.refuse(name, "is not supported by this server");
    }
    return std::move(output_);
  }

 private:
  void demand(const std::string& param, GrammarSource source) {
    if (output_.has_value()) {
      return fields_.fail(param, fmt::format("cannot be combined with {}", output_->param));
    }
    output_ = StructuredOutput{.source = std::move(source), .param = param};
  }

  // The value at `path` of the body, with its keys in order, as text.
  std::string ordered_text(const std::vector<const char*>& path) {
    const absl::StatusOr<OrderedJson> body = parse_ordered_json(body_);
    if (!body.ok()) {
      fields_.take(bad_param(path[0], message_of(body.status())));
      return "";
    }
    const OrderedJson* at = &*body;
    for (const char* key : path) at = &at->at(key);
    return at->dump();
  }

  // A schema as JSON, or as text that is JSON.
  void read_schema(Fields& fields, const char* name, const std::string& param,
                   const std::vector<const char*>& path) {
    const Json* json = fields.find(name);
    if (json == nullptr) return;
    std::string text = json->is_string() ? json->get<std::string>() : ordered_text(path);
    demand(param, {.kind = Kind::kJsonSchema, .text = std::move(text)});
  }

  void read_text(Fields& fields, const char* name, const std::string& param, Kind kind) {
    if (fields.find(name) == nullptr) return;
    demand(param, {.kind = kind, .text = fields.string(name, "")});
  }

  void read_choice(Fields& fields, const char* name, const std::string& param) {
    const Json* json = fields.find(name);
    if (json == nullptr) return;
    if (!json->is_array()) return fields.fail(name, "must be an array of strings");
    demand(param, {.kind = Kind::kChoice, .choices = fields.strings(name)});
  }

  void read_response_format() {
    const Json* json = fields_.find("response_format");
    if (json == nullptr) return;
    if (!json->is_object()) return fields_.fail("response_format", "must be an object");
    Fields format(*json, "response_format.");
    const std::string type = format.string("type", "");
    if (type == "json_object") {
      demand("response_format", {.kind = Kind::kJsonObject});
    } else if (type == "json_schema") {
      read_json_schema(format);
    } else if (type != "text") {
      format.fail("type", "must be text, json_object or json_schema");
    }
    fields_.take(format.finish());
  }

  void read_json_schema(Fields& format) {
    const Json* json = format.find("json_schema");
    if (json == nullptr || !json->is_object()) {
      return format.fail("json_schema", "must be an object with a schema");
    }
    Fields fields(*json, "response_format.json_schema.");
    fields.string("name", "");
    fields.string("description", "");
    fields.boolean("strict", true);
    if (fields.find("schema") == nullptr) fields.fail("schema", "is missing");
    read_schema(fields, "schema", "response_format", {"response_format", "json_schema", "schema"});
    format.take(fields.finish());
  }

  void read_structured_outputs() {
    const Json* json = fields_.find("structured_outputs");
    if (json == nullptr) return;
    if (!json->is_object()) return fields_.fail("structured_outputs", "must be an object");
    Fields fields(*json, "structured_outputs.");
    const std::string param = "structured_outputs";
    read_schema(fields, "json", param, {"structured_outputs", "json"});
    read_text(fields, "regex", param, Kind::kRegex);
    read_text(fields, "grammar", param, Kind::kGbnf);
    read_choice(fields, "choice", param);
    if (fields.boolean("json_object", false)) demand(param, {.kind = Kind::kJsonObject});
    for (const char* name : {"structural_tag", "whitespace_pattern", "disable_any_whitespace",
                             "disable_additional_properties", "disable_fallback"}) {
      fields.refuse(name, "is not supported by this server");
    }
    fields_.take(fields.finish());
  }

  Fields& fields_;
  const std::string_view body_;
  std::optional<StructuredOutput> output_;
};

}  // namespace

std::optional<StructuredOutput> read_structured_output(Fields& fields, std::string_view body) {
  return Reader(fields, body).run();
}

}  // namespace brisk::api
