#include "serve/api/oip_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"

namespace brisk::api {
namespace {

constexpr size_t kTensorsMax = 64;
constexpr int64_t kDefaultPriority = 1000;

// Names that Triton's back ends have for OpenAI's and vLLM's parameters.
constexpr std::array<std::pair<std::string_view, const char*>, 5> kNames = {
    {{"random_seed", "seed"},
     {"stop_words", "stop"},
     {"max_new_tokens", "max_tokens"},
     {"request_output_len", "max_tokens"},
     {"len_penalty", "length_penalty"}}};

std::string our_name(const std::string& name) {
  for (const auto& [theirs, ours] : kNames) {
    if (name == theirs) return ours;
  }
  return name;
}

// What an endpoint is asked, as it is put together.
struct Draft {
  Json completion = Json::object();  // a body of /v1/completions
  OipRequest request;
  std::optional<bool> stream;
};

absl::Status set_parameter(const std::string& name, const Json& value, Draft* draft) {
  const auto flag = [&](bool* target) -> absl::Status {
    if (!value.is_boolean()) return bad_param(name, name + " must be true or false");
    *target = value.get<bool>();
    return absl::OkStatus();
  };
  if (name == "stream") {
    bool stream = false;
    BRISK_RETURN_IF_ERROR(flag(&stream));
    draft->stream = stream;
    return absl::OkStatus();
  }
  if (name == "exclude_input_in_output") {
    bool exclude = true;
    BRISK_RETURN_IF_ERROR(flag(&exclude));
    draft->request.include_input = !exclude;
    return absl::OkStatus();
  }
  if (name == "priority") {
    int64_t priority = 0;
    if (!read_integer(value, priority) || priority < 0) {
      return bad_param(name, "priority must be an integer; 1 goes first, 0 is the default");
    }
    draft->completion["priority"] = engine_priority(priority);
    return absl::OkStatus();
  }
  if (name == "sampling_parameters") {  // Triton's vLLM back end: an object, as a string
    const auto inner = parse_json(value.is_string() ? value.get<std::string>() : "");
    if (!inner.ok() || !inner->is_object() || inner->contains(name)) {
      return bad_param(name, name + " must be the text of a JSON object");
    }
    for (const auto& [key, each] : inner->items()) {
      BRISK_RETURN_IF_ERROR(set_parameter(key, each, draft));
    }
    return absl::OkStatus();
  }
  for (const char* fixed : {"n", "best_of", "model", "prompt", "echo", "logprobs", "stream_options",
                            "prompt_logprobs"}) {
    if (name == fixed) return bad_param(name, name + " has no place in this protocol's answers");
  }
  draft->completion[our_name(name)] = value;
  return absl::OkStatus();
}

absl::Status set_parameters(const Json& parameters, Draft* draft) {
  if (!parameters.is_object()) return bad_param("parameters", "parameters must be an object");
  for (const auto& [name, value] : parameters.items()) {
    BRISK_RETURN_IF_ERROR(set_parameter(name, value, draft));
  }
  return absl::OkStatus();
}

absl::Status set_id(const Json& id, Draft* draft) {
  if (id.is_number_integer()) {
    draft->request.id = id.dump();
  } else if (id.is_string()) {
    draft->request.id = id.get<std::string>();
  } else {
    return bad_param("id", "id must be a string");
  }
  return absl::OkStatus();
}

absl::StatusOr<OipRequest> finish(Draft draft, const GenerationDefaults& defaults) {
  if (!draft.completion.contains("prompt")) {
    return bad_param("text_input", "text_input is missing");
  }
  BRISK_ASSIGN_OR_RETURN(draft.request.completion,
                         parse_completion(to_text(draft.completion), defaults));
  return std::move(draft.request);
}

// The elements of a tensor, however deep its data nests them.
absl::Status flatten(const Json& data, int depth, std::vector<Json>* elements) {
  if (!data.is_array()) {
    elements->push_back(data);
    return absl::OkStatus();
  }
  if (depth == 0) return invalid_input("data is nested too deeply");
  for (const Json& each : data) BRISK_RETURN_IF_ERROR(flatten(each, depth - 1, elements));
  return absl::OkStatus();
}

// The element count that the shape says.
absl::StatusOr<int64_t> elements_of(const Json& shape) {
  int64_t count = 1;
  if (!shape.is_array() || shape.size() > 4) return invalid_input("shape must be an array");
  for (const Json& each : shape) {
    int64_t size = 0;
    if (!read_integer(each, size) || size < 0 || size > kPromptsMax) {
      return invalid_input("shape must hold integers up to {}", kPromptsMax);
    }
    count *= size;
  }
  return count;
}

absl::Status check_type(const std::string& datatype, const std::vector<Json>& elements) {
  const bool text = datatype == "BYTES";
  const bool flag = datatype == "BOOL";
  const bool number =
      datatype.starts_with("INT") || datatype.starts_with("UINT") || datatype.starts_with("FP");
  if (!text && !flag && !number) return invalid_input("datatype {} is not known", datatype);
  for (const Json& each : elements) {
    const bool fits = text ? each.is_string() : flag ? each.is_boolean() : each.is_number();
    if (!fits) return invalid_input("data is not all {}", datatype);
  }
  return absl::OkStatus();
}

absl::Status read_tensor(const Json& tensor, Draft* draft) {
  Fields fields(tensor, "inputs.");
  const std::string name = fields.string("name", "");
  const std::string datatype = fields.string("datatype", "");
  const Json* shape = fields.find("shape");
  const Json* data = fields.find("data");
  fields.ignore("parameters");
  BRISK_RETURN_IF_ERROR(fields.finish());
  if (name.empty()) return bad_param("inputs", "an input has no name");
  const auto fault = [&](std::string_view what) {
    return bad_param("inputs", fmt::format("input {}: {}", name.substr(0, 100), what));
  };
  if (shape == nullptr || data == nullptr) return fault("needs shape and data");
  const absl::StatusOr<int64_t> count = elements_of(*shape);
  if (!count.ok()) return fault(message_of(count.status()));
  std::vector<Json> elements;
  if (const absl::Status flat = flatten(*data, 4, &elements); !flat.ok()) {
    return fault(message_of(flat));
  }
  if (const absl::Status typed = check_type(datatype, elements); !typed.ok()) {
    return fault(message_of(typed));
  }
  if (std::ssize(elements) != *count) {
    return fault(fmt::format("shape says {} elements, data has {}", *count, elements.size()));
  }
  if (name == "text_input") {
    if (datatype != "BYTES" || elements.empty()) return fault("must be BYTES, one or more");
    draft->completion["prompt"] = elements;
    return absl::OkStatus();
  }
  if (elements.size() != 1) return fault("a parameter has one element");
  return set_parameter(name, elements.front(), draft);
}

absl::Status read_tensors(const Json& inputs, Draft* draft) {
  if (!inputs.is_array() || inputs.empty() || inputs.size() > kTensorsMax) {
    return bad_param("inputs", fmt::format("inputs must be an array of 1 to {}", kTensorsMax));
  }
  for (const Json& tensor : inputs) {
    if (!tensor.is_object()) return bad_param("inputs", "each of inputs must be an object");
    BRISK_RETURN_IF_ERROR(read_tensor(tensor, draft));
  }
  return absl::OkStatus();
}

absl::Status check_outputs(const Json& outputs) {
  if (!outputs.is_array()) return bad_param("outputs", "outputs must be an array");
  for (const Json& output : outputs) {
    if (!output.is_object() || !output.contains("name") || output["name"] != "text_output") {
      return bad_param("outputs", "the only output is text_output");
    }
    const Json parameters = output.value("parameters", Json::object());
    if (!parameters.is_object() || parameters.value("binary_data", Json(false)) != false) {
      return bad_param("outputs", "binary_data is not supported: ask for binary_data=false");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OipRequest> parse_generate(std::string_view body, const GenerationDefaults& defaults,
                                          bool stream) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Draft draft;
  for (const auto& [key, value] : json.items()) {
    if (key == "id") {
      BRISK_RETURN_IF_ERROR(set_id(value, &draft));
    } else if (key == "text_input") {
      if (!value.is_string()) return bad_param(key, "text_input must be a string");
      draft.completion["prompt"] = value;
    } else if (key == "parameters") {
      BRISK_RETURN_IF_ERROR(set_parameters(value, &draft));
    } else {
      BRISK_RETURN_IF_ERROR(set_parameter(key, value, &draft));
    }
  }
  if (draft.stream == true && !stream) {
    return bad_param("stream", "generate does not stream: ask generate_stream");
  }
  return finish(std::move(draft), defaults);
}

absl::StatusOr<OipRequest> parse_infer(std::string_view body, const GenerationDefaults& defaults) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Draft draft;
  for (const auto& [key, value] : json.items()) {
    absl::Status status;
    if (key == "id") {
      status = set_id(value, &draft);
    } else if (key == "inputs") {
      status = read_tensors(value, &draft);
    } else if (key == "parameters") {
      status = set_parameters(value, &draft);
    } else if (key == "outputs") {
      status = check_outputs(value);
    } else {
      status = bad_param(key, key + " is not a known field");
    }
    BRISK_RETURN_IF_ERROR(status);
  }
  if (draft.stream == true) return bad_param("stream", "infer does not stream");
  return finish(std::move(draft), defaults);
}

int engine_priority(int64_t triton_priority) {
  if (triton_priority == 0) return 0;
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  return static_cast<int>(std::min(triton_priority, kMax) - kDefaultPriority);
}

}  // namespace brisk::api
