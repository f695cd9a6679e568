#include "serve/api/chat_generation.h"

#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/tools/tool_constraint.h"

namespace brisk::api {
namespace {

constexpr int kRestOfContext = 0;

// How the model of one request calls tools.
struct ToolPlan {
  ToolCallSyntax syntax = ToolCallSyntax::kTagged;
  bool is_on = false;              // answers may hold calls
  bool marker_is_control = false;  // a token that text does not show
};

absl::StatusOr<ToolPlan> plan_tools(const ServedModel& model, const ChatRequest& chat) {
  ToolPlan plan{.syntax = model.tools.syntax};
  if (chat.tools.use == ToolUse::kNone) return plan;
  ToolSupport support = model.tools;
  if (!chat.chat_template.empty() && !support.is_forced) {
    support = tool_support(chat.chat_template);
  }
  if (!support.shows_tools) {
    return bad_param("tools",
                     "tools cannot be called: the model's chat template has no place for them; "
                     "give one with --chat-template, or name what the model writes with "
                     "--tool-call-parser");
  }
  plan.syntax = support.syntax;
  plan.is_on = true;
  const std::string_view marker = tool_call_marker(plan.syntax);
  const int32_t token = marker.empty() ? -1 : model.tokenizer->find(marker);
  plan.marker_is_control = token >= 0 && model.tokenizer->is_control(token);
  return plan;
}

// What a constrained answer may be instead of calls is what the request asks for itself.
absl::Status combine(const ToolRequest& tools, GenerationSpec& spec, ToolCallForms* forms) {
  if (!spec.structured.has_value()) return absl::OkStatus();
  const std::string& param = spec.structured->param;
  const GrammarSource& source = spec.structured->source;
  const bool is_json = source.kind == GrammarSource::Kind::kJsonObject ||
                       source.kind == GrammarSource::Kind::kJsonSchema;
  if (tools.use == ToolUse::kRequired || !is_json) {
    return bad_param(param, fmt::format("{} cannot be combined with {}", param,
                                        is_json ? "a tool_choice that requires a call" : "tools"));
  }
  forms->text = ToolCallForms::Text::kSchema;
  forms->text_schema = source.text;
  return absl::OkStatus();
}

// Constrains answers so that calls are valid where that was asked for.
absl::Status constrain(const ToolPlan& plan, ChatRequest& chat) {
  if (!plan.is_on) return absl::OkStatus();
  ToolRequest tools = chat.tools;
  if (chat.spec.structured.has_value()) {
    for (Tool& tool : tools.tools) tool.is_strict = true;  // one grammar for all of the answer
  }
  std::optional<ToolCallForms> forms = tool_call_forms(tools, plan.syntax);
  if (!forms.has_value()) return absl::OkStatus();
  BRISK_RETURN_IF_ERROR(combine(tools, chat.spec, &*forms));
  chat.spec.structured = StructuredOutput{
      .source = {.kind = GrammarSource::Kind::kToolCalls, .calls = *std::move(forms)},
      .param = "tools"};
  return absl::OkStatus();
}

ToolCallParser::Options parser_options(const ToolPlan& plan, const ToolRequest& tools) {
  ToolCallParser::Options options{
      .syntax = plan.syntax, .tools = {}, .only_these = tools.is_limited};
  for (const Tool& tool : tools.tools) options.tools.push_back(tool.name);
  return options;
}

}  // namespace

std::string_view finish_name(ChatFinish finish) {
  switch (finish) {
    case ChatFinish::kStop:
      return "stop";
    case ChatFinish::kLength:
      return "length";
    case ChatFinish::kToolCalls:
      return "tool_calls";
  }
  return "stop";
}

absl::Status blame_field(absl::Status status) {
  if (!absl::IsInvalidArgument(status)) return status;
  const std::string_view message = message_of(status);
  return bad_param(message.substr(0, message.find(' ')), std::string(message));
}

absl::StatusOr<std::vector<int32_t>> chat_prompt(const ServedModel& model,
                                                 const ChatRequest& chat) {
  BRISK_RETURN_IF_ERROR(plan_tools(model, chat).status());
  return encode_chat(model, chat);
}

absl::StatusOr<std::unique_ptr<ChatGeneration>> ChatGeneration::start(const ModelLease& lease,
                                                                      ChatRequest chat,
                                                                      std::string id,
                                                                      const http::Wakeup& wakeup) {
  const ServedModel& model = *lease;
  BRISK_RETURN_IF_ERROR(model.check_name(chat.spec.model));
  BRISK_ASSIGN_OR_RETURN(const ToolPlan plan, plan_tools(model, chat));
  BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, encode_chat(model, chat));
  BRISK_RETURN_IF_ERROR(constrain(plan, chat));
  std::vector<Request> requests;
  BRISK_ASSIGN_OR_RETURN(requests.emplace_back(),
                         make_request(model, chat.spec, std::move(tokens), kRestOfContext));
  TextGeneration::Options text;
  BRISK_ASSIGN_OR_RETURN(text.stops, StopStrings::create(chat.spec.stop));
  text.include_stop = chat.spec.include_stop;
  text.special = !chat.spec.skip_special_tokens || plan.marker_is_control;
  text.keep_tokens = chat.spec.request.sampling.logprobs >= 0;
  text.account = chat.spec.account;
  text.listed_in = model.running;
  text.listed_as = {.id = std::move(id),
                    .model = chat.spec.model.empty() ? model.name() : chat.spec.model,
                    .key = chat.spec.caller_key};
  std::unique_ptr<ChatGeneration> chat_run(
      new ChatGeneration(*model.tokenizer, plan.syntax, chat.tools.is_parallel));
  auto run = TextGeneration::start(lease, std::move(requests), text, wakeup);
  if (!run.ok()) return blame_field(run.status());
  chat_run->run_ = *std::move(run);
  chat_run->choices_.resize(static_cast<size_t>(chat_run->run_->choices()));
  for (Choice& choice : chat_run->choices_) {
    if (plan.is_on) choice.parser = ToolCallParser::create(parser_options(plan, chat.tools));
  }
  return chat_run;
}

absl::StatusOr<std::vector<ChatDelta>> ChatGeneration::poll() {
  BRISK_ASSIGN_OR_RETURN(std::vector<ChoiceDelta> deltas, run_->poll());
  std::vector<ChatDelta> read_deltas;
  for (ChoiceDelta& delta : deltas) {
    ChatDelta each = read(std::move(delta));
    const bool says_something =
        !each.pieces.empty() || !each.tokens.empty() || each.finish.has_value();
    if (says_something) read_deltas.push_back(std::move(each));
  }
  return read_deltas;
}

ChatDelta ChatGeneration::read(ChoiceDelta delta) {
  Choice& choice = choices_[static_cast<size_t>(delta.choice)];
  ChatDelta chat{.choice = delta.choice,
                 .pieces = {},
                 .tokens = std::move(delta.delta.tokens),
                 .finish = std::nullopt,
                 .stop_string = std::move(delta.stop_string)};
  if (choice.parser == nullptr) {
    if (!delta.delta.text.empty()) {
      chat.pieces.push_back({.kind = AnswerPiece::Kind::kText, .text = delta.delta.text});
    }
  } else {
    choice.parser->push(delta.delta.text);
    if (delta.finish.has_value()) choice.parser->finish();
    for (AnswerPiece& piece : choice.parser->take()) {
      if (piece.kind == AnswerPiece::Kind::kCall) ++choice.calls;
      const bool is_surplus = !is_parallel_ && choice.calls > 1;
      if (is_surplus && piece.kind != AnswerPiece::Kind::kText) continue;
      chat.pieces.push_back(std::move(piece));
    }
  }
  if (delta.finish.has_value()) {
    chat.finish = *delta.finish == FinishReason::kLength ? ChatFinish::kLength
                  : choice.calls > 0                     ? ChatFinish::kToolCalls
                                                         : ChatFinish::kStop;
  }
  return chat;
}

}  // namespace brisk::api
