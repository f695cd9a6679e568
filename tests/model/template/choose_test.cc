#include "model/template/choose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "model/template/chat_template.h"

namespace brisk {
namespace {

// A vocabulary of whole control tokens.
class Vocabulary final : public Tokenizer {
 public:
  explicit Vocabulary(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  std::vector<int32_t> encode(std::string_view, const EncodeOptions&) const override { return {}; }
  std::string decode_token(int32_t, bool) const override { return ""; }
  std::string decode(const std::vector<int32_t>&, bool) const override { return ""; }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  const TokenizerRules& rules() const override { return rules_; }
  bool is_control(int32_t) const override { return true; }
  int32_t find(std::string_view text) const override {
    const auto found = std::find(tokens_.begin(), tokens_.end(), text);
    return found == tokens_.end() ? -1 : static_cast<int32_t>(found - tokens_.begin());
  }

 private:
  std::vector<std::string> tokens_;
  TokenizerRules rules_;
};

TEST(ChooseChatTemplate, TakesTheCheckpointsOwn) {
  EXPECT_EQ(*choose_chat_template("own", Vocabulary({"<|im_start|>", "<|im_end|>"})), "own");
}

TEST(ChooseChatTemplate, FallsBackToChatMlOnlyWhereTheVocabularyHasIt) {
  EXPECT_EQ(*choose_chat_template("", Vocabulary({"<|im_start|>", "<|im_end|>"})),
            default_chat_template());
  const auto refused = choose_chat_template("", Vocabulary({"<|im_start|>"}));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(message_of(refused.status())), testing::HasSubstr("cannot chat"));
}

TEST(DefaultChatTemplate, IsChatMl) {
  const auto parsed = ChatTemplate::parse(default_chat_template());
  ASSERT_TRUE(parsed.ok());
  const OrderedJson messages = {{{"role", "system"}, {"content", "Be brief."}},
                                {{"role", "user"}, {"content", "Hi"}}};
  EXPECT_EQ(*(*parsed)->render(*template_variables({.messages = messages})),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n");
}

}  // namespace
}  // namespace brisk
